"""What stands in front of every route of the server, gradio's own included: one ASGI layer.

    guard.py      the layer: host, origin, rate, who asks, size of what is sent, headers of what is answered
    request.py    one request as the guard sees it
    passage.py    its way through the application: the body counted, the answer secured
    sessions.py   who is logged in: cookies, expiry, slowed attempts
    users.py      the file of names and password hashes (argon2id)
    limits.py     how often and how much one client may send
    headers.py    content security policy and its companions
    login.py      the log-in page and the page of a refusal

Nothing in here knows gradio; gradio's own `auth` covers only some of its routes.
"""
