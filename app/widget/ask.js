// One way to talk to the server, and the four ways it can go: answered, signed out, refused, unheard.

export class SignedOut extends Error {}

// The server understood and said no: sending the same again will not help.
export class Refused extends Error {}

// No answer, or one that promises nothing (a proxy's page, a full disk): the same may work later.
export class Unreachable extends Error {}

const PATIENCE = 15000; // milliseconds; a phone that changed networks hears nothing from the old one

// `annotator` is the pseudonym under which the body was written: cookies may change hands in between.
export async function ask(path, body, annotator) {
  const headers = { "Content-Type": "application/json", "X-Requested-With": "fetch" };
  if (annotator) headers["X-Tandem-Annotator"] = annotator;
  let reply;
  let said;
  try {
    reply = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    });
    said = await reply.json();
  } catch (problem) {
    throw new Unreachable(String(problem));
  }
  if (reply.ok) return said;
  if (reply.status === 401) throw new SignedOut(said.error);
  if (reply.status >= 500 || reply.status === 408 || reply.status === 429 || !said.error) {
    throw new Unreachable(said.error ?? `status ${reply.status}`);
  }
  throw new Refused(said.error);
}
