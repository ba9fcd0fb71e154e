"""dash-uploader as its documentation configures it, on the server that Dash starts."""

import sys

import dash
import dash_uploader

app = dash.Dash(__name__)
dash_uploader.configure_upload(app, "done")
app.layout = dash.html.Div([dash_uploader.Upload()])
app.run(port=int(sys.argv[1]))
