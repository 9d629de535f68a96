"""Which candidates may be shown. Each filter judges a row alone, so filters commute."""
