// One way to talk to the server, and the four ways it can go: an answer, signed out, refused, no answer.

export class SignedOut extends Error {}

// The server understood and said no: sending the same again will not help.
export class Refused extends Error {}

// No answer, or one that promises nothing (a proxy's page, a full disk): the same may work later.
export class Unreachable extends Error {}

const PATIENCE = 15000; // milliseconds; a phone that changed networks never hears that the old one is gone

export async function ask(path, body) {
  let reply;
  let said;
  try {
    reply = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: { "Content-Type": "application/json", "X-Requested-With": "fetch" },
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
