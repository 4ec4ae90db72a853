"""The service: galleries over HTTP, for programs and for one page. The command ``occlureid serve`` starts it."""
