"""The guard's own pages, the log-in and the refusal: no script, in the page's languages."""

from __future__ import annotations

import html

from workbench.ui.text import Words

_STYLE = (
    "body{font-family:system-ui,'PingFang SC','Microsoft YaHei','Noto Sans CJK SC',sans-serif;background:#f7f5f1;color:#2b2926;"
    "display:grid;place-items:center;min-height:100vh;margin:0}"
    "main{background:#fff;border:1px solid #e4dfd6;border-radius:12px;padding:28px 32px;width:min(360px,86vw)}"
    "h1{font-size:1.25rem;margin:0 0 4px}p{margin:6px 0 16px;color:#5f5a53}label{display:block;margin:12px 0 4px}"
    "input{width:100%;box-sizing:border-box;padding:9px;border:1px solid #8f877b;border-radius:8px;font:inherit;"
    "background:inherit;color:inherit}"
    "button{margin-top:18px;width:100%;padding:10px;border:0;border-radius:8px;background:#2c7a82;color:#fff;font:inherit;cursor:pointer}"
    ".error{color:#a32d1d}"
    "@media(prefers-color-scheme:dark){body{background:#1d1c1a;color:#ece8e1}main{background:#262522;border-color:#3b3935}"
    "p{color:#b5afa6}.error{color:#ff9d8c}}"
)


def login_page(language: str, *, passwords: bool, problem: str = "") -> str:
    """The whole page.

    Args:
        passwords: ask for name and password; else for the token in the address that the server printed.
        problem: key of a sentence below `login`, shown as an error.
    """
    t = Words(language)
    error = f'<p class="error" role="alert">{html.escape(t(f"login.{problem}"))}</p>' if problem else ""
    fields = [("name", "text", "username"), ("password", "password", "current-password")] if passwords else [("token", "password", "off")]
    inputs = "".join(
        f'<label for="{name}">{html.escape(t(f"login.{name}"))}</label>'
        f'<input id="{name}" name="{name}" type="{kind}" autocomplete="{complete}" required maxlength="1024">'
        for name, kind, complete in fields
    )
    form = f'<form method="post" action="/login">{inputs}<button>{html.escape(t("login.enter"))}</button></form>'
    return _page(t, language, f"<p>{html.escape(t('login.lead_password' if passwords else 'login.lead_token'))}</p>{error}{form}")


def refusal_page(language: str, said: str) -> str:
    """A page that says why something was refused and what to do."""
    return _page(Words(language), language, f'<p class="error" role="alert">{html.escape(said)}</p>')


def _page(t: Words, language: str, body: str) -> str:
    title = html.escape(t("title"))
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
