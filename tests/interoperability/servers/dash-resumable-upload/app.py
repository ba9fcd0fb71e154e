"""dash-resumable-upload as its documentation mounts it, on the server that Dash starts."""

import sys

import dash
import dash_resumable_upload

app = dash.Dash(__name__)
dash_resumable_upload.decorate_server(app.server, "done")
app.layout = dash.html.Div([dash_resumable_upload.Upload(id="upload", service="/upload_resumable")])
app.run(port=int(sys.argv[1]))
