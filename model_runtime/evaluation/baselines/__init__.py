"""What every recommender has to beat; each behind `model_runtime.evaluation.ranking.Recommender`."""
