package console

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What hides an import is found in the text of a module, without a parser of the language.
// [hidden] knows the forms of declarations that the page uses: const, let, functions, methods,
// arrows and catch. In a pattern it takes each name for a variable, keys as well.
var (
	imports = regexp.MustCompile(`(?m)^import \{([^}]*)\} from`)
	words   = regexp.MustCompile(`[\p{L}_$][\p{L}\p{N}_$]*`)

	// quiet are comments, texts and regular expressions, whose words are no names.
	quiet = regexp.MustCompile(`//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|([(,=:!&|?]\s*)/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*`)

	declared  = regexp.MustCompile(`\b(?:const|let|var)\s+`)
	named     = regexp.MustCompile(`\b(?:function|class)\s+([\w$]+)`)
	bare      = regexp.MustCompile(`([\w$]+)\s*=>`)
	brackets  = regexp.MustCompile(`\)\s*(?:=>|\{)`)
	condition = regexp.MustCompile(`\b(?:if|for|while|switch)\s*$`)
)

// hidden lists the imports of a module that it declares again, each as often as it does.
func hidden(module string) []string {
	module = quiet.ReplaceAllString(module, `$1""`)
	var imported, again []string
	for _, m := range imports.FindAllStringSubmatch(module, -1) {
		imported = append(imported, words.FindAllString(m[1], -1)...)
	}
	note := func(pattern string) {
		for _, w := range words.FindAllString(pattern, -1) {
			if slices.Contains(imported, w) {
				again = append(again, w)
			}
		}
	}
	for _, at := range declared.FindAllStringIndex(module, -1) {
		for _, p := range patterns(module[at[1]:]) {
			note(p)
		}
	}
	for _, m := range named.FindAllStringSubmatch(module, -1) {
		note(m[1])
	}
	for _, m := range bare.FindAllStringSubmatch(module, -1) {
		note(m[1])
	}
	for _, at := range brackets.FindAllStringIndex(module, -1) {
		open := opening(module[:at[0]])
		if open >= 0 && !condition.MatchString(module[:open]) {
			for _, p := range patterns(module[open+1 : at[0]]) {
				note(p)
			}
		}
	}
	return again
}

// opening is where the bracket was opened that is closed behind a text.
func opening(text string) int {
	depth := 1
	for i := len(text) - 1; i >= 0; i-- {
		switch text[i] {
		case ')', ']', '}':
			depth++
		case '(', '[', '{':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// patterns are the parts of a list that declare something: "a, { b } = f(c)" has "a" and "{ b }".
func patterns(list string) []string {
	var all []string
	from, depth, value := 0, 0, false
	end := func(at int) {
		if !value {
			all = append(all, list[from:at])
		}
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case strings.ContainsRune("([{", rune(c)):
			depth++
		case strings.ContainsRune(")]}", rune(c)):
			if depth--; depth < 0 {
				end(i)
				return all
			}
		case depth > 0:
		case c == ';', strings.HasPrefix(list[i:], " of "), strings.HasPrefix(list[i:], " in "):
			end(i)
			return all
		case c == ',':
			end(i)
			from, value = i+1, false
		case c == '=' && !value:
			end(i)
			value = true
		}
	}
	end(len(list))
	return all
}

// A variable of a module that has the name of an import hides it, and a call of the import
// below it is a fault that only shows when it is reached.
func TestNoImportIsHidden(t *testing.T) {
	const head = "import { now, text } from \"./x.js\";\n"
	for module, want := range map[string]int{
		head + `const t = now(), s = text(now);`:                          0,
		head + `if (now) { f(text, { now: 1 }); }`:                        0,
		head + `for (const a of text(now)) { a(now); }`:                   0,
		head + `const f = (a = now) => text(a); // let now = 1`:           0,
		head + `const s = "let now", r = a.replace(/let now, "text/, b);`: 0,
		head + `function g() { const now = 1; }`:                          1,
		head + `function g() { let a = f(1, 2), now = 1; }`:               1,
		head + `const { a, now } = f();`:                                  1,
		head + `for (const [, text] of list) g();`:                        1,
		head + `export function tell(text, kind) { g(text); }`:            1,
		head + `class A { take({ a }, now = 1) { g(); } }`:                1,
		head + `list.map(text => text + now());`:                          1,
		head + `list.map(([name, text]) => { g(); });`:                    1,
		head + `try { g(); } catch (now) { h(); }`:                        1,
		head + `function text() {}`:                                       1,
	} {
		if got := hidden(module); len(got) != want {
			t.Errorf("%q: %q are hidden, want %d", module, got, want)
		}
	}
	entries, err := page.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".js") {
			continue
		}
		body, err := page.ReadFile("page/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range hidden(string(body)) {
			t.Errorf("%s declares %s, which it imports: give the variable a name of its own", e.Name(), name)
		}
	}
}
