"""Response headers: what a browser may do with our answers."""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

# gradio's page carries inline scripts and compiles the templates of gr.HTML, so scripts need both exceptions; nothing may come from or
# go to another host, and no other page may frame this one.
POLICY = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self' data: blob:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
))
SECURITY: tuple[Header, ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OURS = {name for name, _ in SECURITY}
# What a browser shows without running anything in it; everything else that a person made is a download.
SHOWN_INLINE = (b"image/png", b"image/jpeg", b"image/webp", b"image/gif")


def secured(headers: Iterable[Header], *, file: bool) -> list[Header]:
    """An answer's headers with ours in place of its own and without permissions for other origins.

    Args:
        file: the answer is the content of a file that a person or a run made; it is then a download unless it is a plain picture.
    """
    kept = [(name, value) for name, value in headers if name.lower() not in _OURS and not name.lower().startswith(b"access-control-")]
    if file:
        kind = next((value for name, value in kept if name.lower() == b"content-type"), b"")
        if not kind.lower().startswith(SHOWN_INLINE):
            named = next((value for name, value in kept if name.lower() == b"content-disposition"), b"")
            kept = [(name, value) for name, value in kept if name.lower() != b"content-disposition"]
            _, semicolon, rest = named.partition(b";")
            kept.append((b"content-disposition", b"attachment" + semicolon + rest))
    return [*kept, *SECURITY]
