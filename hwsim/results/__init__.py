"""What a run gives: frozen results, their timeline, and their documents."""
