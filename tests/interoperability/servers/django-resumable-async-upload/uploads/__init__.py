"""An application with one model, whose file is uploaded in the admin."""
