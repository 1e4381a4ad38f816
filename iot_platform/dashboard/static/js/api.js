// Requests to the server; every failure is an Error whose message can be shown.

const TIMEOUT_MS = 45_000;

export async function get(path, signal) {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response;
  try {
    response = await fetch(path, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error(timeout.aborted ? "The dashboard server did not answer in time." : "The dashboard server does not answer.");
  }
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  const error = new Error(body.error ?? `The dashboard server answered with status ${response.status}.`);
  error.isFinal = response.status < 500; // the same request would fail again
  throw error;
}
