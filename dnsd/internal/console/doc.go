// Package console has the files of the console, a web page that shows what is registered
// and lets operators act: HTML, style and plain modules of JavaScript, as a browser loads
// them. There is no build step, and nothing comes from elsewhere; [Policy] makes the
// browser hold to that.
//
// The page has no data. It reads the HTTP API, docs/http-api.md, with the token that its
// reader types in. All text that comes from there is hostile: metadata and names are what
// clients registered. So the page makes elements and sets their textContent, and no code in
// it makes markup of text.
//
// The modules, each with one noun:
//
//	main.js      which view is shown; keys
//	api.js       requests, and what a refusal says
//	token.js     the token: asks for it, keeps it in sessionStorage, forgets it
//	state.js     services and instances, as the stream tells them
//	stream.js    the stream of changes: begins, goes on, begins again
//	clock.js     the time by dnsd's clock
//	turns.js     which windows of a browser keep their stream
//	dom.js       elements from values, and texts for times and numbers
//	table.js     a table that shows a part of its rows and changes only cells that differ
//	overview.js  totals, rates, and the services, those in trouble first
//	rates.js     what happens a second, from the metrics
//	service.js   one service: its instances, what DNS says, its events
//	timeline.js  the events
//	actions.js   drain, undrain, remove, release guard: ask, do, tell
//	cluster.js   the dnsd that share the registry
package console
