"""HTML that needs its scripts, in a frame that reaches nothing.

Two frames: the outer one is ours, of an origin of its own, and carries the policy; the peer's document is in the
inner one, which inherits the policy and cannot leave for another address, because the outer's forbids it. The
document travels packed, so no character of it is markup of the notebook.
"""

import base64
import zlib
from html import escape

MAX_DOCUMENT = 24 << 20
HEIGHT = 450
"""Pixels, where the document does not say its own."""
MAX_HEIGHT = 4000

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob: data:; style-src 'unsafe-inline'; "
    "img-src data: blob:; media-src data: blob:; font-src data:; worker-src blob:; "
    "connect-src 'none'; frame-src 'none'; form-action 'none'; base-uri 'none'"
)
_OUTER = """<!doctype html><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<style>html, body, iframe {{ margin: 0; border: 0; width: 100%; height: 100%; display: block }}</style>
<iframe sandbox="allow-scripts" referrerpolicy="no-referrer"></iframe>
<script>
const packed = Uint8Array.from(atob("{packed}"), (c) => c.charCodeAt(0));
new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).text()
  .then((text) => {{ document.querySelector("iframe").srcdoc = text; }});
</script>"""
_FRAME = (
    '<div style="height: {height}px; resize: vertical; overflow: hidden">'
    '<iframe sandbox="allow-scripts" referrerpolicy="no-referrer" loading="lazy" title="output with scripts" '
    'style="width: 100%; height: 100%; border: 0" srcdoc="{document}"></iframe></div>'
)
_HEAD = """<!doctype html><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<style>body {{ margin: 0; background: white; font-family: sans-serif; font-size: 14px }}</style>
<script>for (const name of ["RTCPeerConnection", "webkitRTCPeerConnection"]) delete window[name];</script>
"""
"""No policy forbids WebRTC; this only removes its nearest door."""


def framed(body: str, *scripts: str, height: int = HEIGHT) -> str:
    """Return HTML that shows `body` with its scripts, after these `scripts` of libraries, `height` pixels high."""
    document = _HEAD.format(policy=_POLICY) + "".join(f"<script>{text}</script>\n" for text in scripts) + body
    packed = base64.b64encode(zlib.compress(document.encode("utf-8", "replace"), 9)).decode()
    outer = _OUTER.format(policy=_POLICY, packed=packed)
    return _FRAME.format(height=max(20, min(height, MAX_HEIGHT)), document=escape(outer))
