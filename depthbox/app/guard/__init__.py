"""Protection of the page: every request passes the guard before Gradio receives it."""
