let elapsed = 0;
let last = read();

/**
 * Returns elapsed milliseconds, on a clock that includes sleep and never goes back.
 *
 * `performance.now()` never goes back, but in most browsers it stops while the computer sleeps. `Date.now()` includes
 * sleep, but jumps when the clock is set. So the larger of both differences since the last call counts. A clock that is
 * set forward looks like sleep: a token is then renewed too early, which costs a mint and no more.
 */
export function now() {
  const current = read();
  elapsed += Math.max(0, current[0] - last[0], current[1] - last[1]);
  last = current;
  return elapsed;
}

function read() {
  return [performance.now(), Date.now()];
}
