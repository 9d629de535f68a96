"""`make soak MINUTES=20`: the whole engine under load with churn, watched for whatever grows."""
