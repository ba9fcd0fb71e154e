"""The windows of the examples on a screen in memory, used with the mouse and read from their widgets."""
