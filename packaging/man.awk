# Makes what go-md2man turns into a manual page of a page of docs. Tables become lists of
# definitions, because a terminal is too narrow for them; links become their text.
BEGIN { print "% " name " " section "\n" }
/^<!--/ { next }
/^```/ { code = !code }
code { flush(); print; next }
{ gsub(/\]\([^)]*\)/, "]"); $0 = unlinked($0) }
/^\|/ {
	if ($0 ~ /^\|[-:| ]+\|$/) { heads = held; held = ""; next }
	flush()
	held = $0
	next
}
{ flush(); heads = ""; print }
END { flush() }

# unlinked returns the line without the brackets of links, outside of code.
function unlinked(line,   n, i, parts, out) {
	n = split(line, parts, "`")
	for (i = 1; i <= n; i++) {
		if (i % 2 == 1) gsub(/[][]/, "", parts[i])
		out = out (i > 1 ? "`" : "") parts[i]
	}
	return out
}

# flush prints the row that is held, unless it turned out to be the heads of columns.
function flush(   n, cells, titles, i, said) {
	if (held == "") return
	gsub(/\\\|/, "\001", held)
	n = split(substr(held, 3, length(held) - 4), cells, / *\| */)
	split(substr(heads, 3, length(heads) - 4), titles, / *\| */)
	held = ""
	said = cells[n]
	for (i = 3; i < n; i++) if (cells[i] != "") said = said "\n(" titles[i] ": " cells[i] ")"
	gsub(/\001/, "|", said)
	gsub(/\001/, "|", cells[1])
	gsub(/\001/, "|", cells[2])
	print "\n" cells[1] (n > 2 && cells[2] != "" ? ", " titles[2] " " cells[2] : "") "\n: " said "\n"
}
