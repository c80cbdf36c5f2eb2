// The clock of dnsd. All times in answers are by it, and the clock of a browser may be wrong
// by minutes.

// least and most bound the difference, dnsd's clock less the browser's, in milliseconds.
let least = -Infinity, most = Infinity;

// heard takes the header Date of an answer (RFC 9110 section 6.6.1), which has whole seconds.
// sent is when the browser's clock sent the request. A bound that contradicts the earlier
// ones replaces them: one of the clocks was set.
export function heard(answer, sent) {
  const date = Date.parse(answer.headers.get("Date")), low = date - Date.now(), high = date + 1000 - sent;
  if (!(low <= high)) return; // no date, or the browser's clock was set meanwhile
  if (low > most || high < least) [least, most] = [low, high];
  else [least, most] = [Math.max(low, least), Math.min(high, most)];
}

// ahead is how far dnsd's clock is ahead of the browser's, in milliseconds; 0 as long as they
// may agree.
export const ahead = () => (least <= 0 && most >= 0 ? 0 : (least + most) / 2);

// now is the time by dnsd's clock.
export const now = () => Date.now() + ahead();
