"""An RTSP server that asks for a password and speaks UDP, run by the system's Python: PATH PORT USER PASSWORD."""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
path, port, user, password = sys.argv[1:]
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory.new()
factory.set_launch(
    f"( filesrc location={path} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
token = GstRtspServer.RTSPToken()
token.set_string("media.factory.role", "viewer")
auth = GstRtspServer.RTSPAuth.new()
auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
server.set_auth(auth)
permissions = GstRtspServer.RTSPPermissions()
for permission in ("media.factory.access", "media.factory.construct"):
    permissions.add_permission_for_role("viewer", permission, True)
factory.set_permissions(permissions)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
