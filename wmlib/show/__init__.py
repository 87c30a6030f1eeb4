"""What a reader sees: figures, the viewer in the page, the explorer of results, videos."""
