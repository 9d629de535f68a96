"""Public data sets as training logs. None of them is part of Headrace: name its licence beside a figure."""
