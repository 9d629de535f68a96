"""An evaluation as one page that needs no other file: tables, and charts as SVG."""
