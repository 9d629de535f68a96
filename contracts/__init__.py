"""What every part of Headrace agrees on. No I/O, no clock, no model framework."""
