"""What is added to candidates before they are judged; one hydrator a file, no network read."""
