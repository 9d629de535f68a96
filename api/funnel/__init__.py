"""The framework of the funnel; it knows nothing about videos. See `api.home` for what runs."""
