"""HTTP and the funnel: from one request to one page of videos."""
