// One lasting stream of answers for gradio's client, over connections that come and go without losing any.
//
// gradio's server ends a page's stream of answers when no call is left, and the page opens the next one with its next call. On a slow
// machine the two cross: a call made while the end is on its way is never answered, and a stream that is given up late takes the answers
// of its successor with it, so that the page says "Session not found" and reloads. Here the client reads one stream that never ends;
// beneath it a connection is opened when a call waits, read to its end, and opened again when a call still waits.
(() => {
  const ask = window.fetch.bind(window);
  const waiting = new Set();  // calls that the server took and has not answered
  const early = new Set();  // calls answered before the page knew their ids
  const encoder = new TextEncoder();
  let given = null;  // what the client reads from
  let kept = [];  // what came while it read nothing
  let address = null;
  let connected = false;

  const pass = (message) => (given ? given.enqueue(encoder.encode(message + "\n\n")) : kept.push(message));

  const broken = (error) => {
    connected = false;
    waiting.clear();
    early.clear();
    given?.error(error);
    given = null;
  };

  // Passes one message on; the end of the connection is not the client's business.
  function take(message) {
    if (message.includes('"close_stream"') || message.includes('"process_completed"')) {
      const { msg, event_id } = JSON.parse(message.slice(message.indexOf("{")));
      if (msg === "close_stream") return true;
      if (msg === "process_completed" && !waiting.delete(event_id)) early.add(event_id);
    }
    pass(message);
    return false;
  }

  async function connect() {
    connected = true;
    try {
      const answer = await ask(address.url, { headers: address.headers, credentials: address.credentials });
      if (!answer.ok) throw new TypeError(`The stream of answers was refused (${answer.status}).`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "", ended = false;
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        text += part.value;
        const messages = text.split("\n\n");
        text = messages.pop();
        for (const message of messages) ended = take(message) || ended;
      }
      if (!ended) throw new TypeError("The stream of answers broke off.");
    } catch (error) {
      return broken(error);
    }
    connected = false;
    if (waiting.size) connect();
  }

  function listen(request) {
    address = request;
    const body = new ReadableStream({
      start(controller) {
        given = controller;
        request.signal.addEventListener("abort", () => { if (given === controller) given = null; });
        kept.splice(0).forEach(pass);
      },
    });
    if (!connected) connect();
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  async function join(answer) {
    if (!answer.ok) return;
    const { event_id } = await answer.clone().json();
    if (early.delete(event_id)) return;
    waiting.add(event_id);
    if (given && !connected) connect();
  }

  window.fetch = async (resource, options) => {
    const url = new URL(resource.url ?? resource, window.location.href);
    if (url.pathname.endsWith("/gradio_api/queue/data")) return listen(new Request(resource, options));
    const answer = await ask(resource, options);
    if (url.pathname.endsWith("/gradio_api/queue/join")) await join(answer);
    return answer;
  };
})();
