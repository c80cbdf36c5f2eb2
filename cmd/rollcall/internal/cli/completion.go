package cli

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// Shells are those that Completion knows.
var Shells = []string{"bash", "zsh", "fish"}

// Completion is a program for a shell that completes the commands and flags of a.
func (a *App) Completion(shell string) (string, error) {
	switch shell {
	case "bash":
		return a.bash(), nil
	case "zsh":
		return a.zsh(), nil
	case "fish":
		return a.fish(), nil
	}
	return "", Wrong("unknown shell %q; %s", shell, suggest(shell, Shells))
}

// word is a word that can be completed.
type word struct{ text, short string }

// firsts are the words that may come first, with what they mean.
func (a *App) firsts() []word {
	var all []word
	for _, c := range append(slices.Clone(a.Commands), builtin...) {
		if !strings.Contains(c.Name, " ") {
			all = append(all, word{c.Name, c.Short})
		}
	}
	return all
}

// seconds are what may come after a command: the names of commands below it, words, flags.
func (a *App) seconds(c *Command) (all []word) {
	for _, b := range a.Commands {
		if name, ok := strings.CutPrefix(b.Name, c.Name+" "); ok {
			all = append(all, word{name, b.Short})
		}
	}
	for _, w := range c.Words {
		all = append(all, word{w, ""})
	}
	own, common := a.flagsOf(c)
	for _, f := range append(own, common...) {
		_, text := describe(f)
		all = append(all, word{"-" + f.Name, text})
	}
	return all
}

// The arguments that App.Names can complete.
const (
	argService = "SERVICE"
	argID      = "ID" // of the service before it
)

// kinds are the arguments of c, in order, as far as they are completed by asking.
func (a *App) kinds(c *Command) (kinds []string) {
	if a.Names == "" {
		return nil
	}
	for _, arg := range strings.Fields(strings.NewReplacer("[", "", "]", "").Replace(c.Args)) {
		if arg != argService && arg != argID {
			break
		}
		kinds = append(kinds, arg)
	}
	return kinds
}

// ask is the command that prints names. It is quick or prints nothing:
// a person waits, and an error would be written over what they type.
func (a *App) ask() string { return a.Name + " " + a.Names + " -timeout 1s 2>/dev/null" }

// files are the flags whose value is a file.
func (a *App) files() (all []string) {
	for i := range a.Commands {
		own, common := a.flagsOf(&a.Commands[i])
		for _, f := range append(own, common...) {
			if what, _ := flag.UnquoteUsage(f); what == "FILE" && !slices.Contains(all, "-"+f.Name) {
				all = append(all, "-"+f.Name)
			}
		}
	}
	return all
}

// join makes one text of the words.
func join(words []word) string {
	var all []string
	for _, w := range words {
		all = append(all, w.text)
	}
	return strings.Join(all, " ")
}

// longer are the commands whose names have two words.
func (a *App) longer() (names []string) {
	for _, c := range a.Commands {
		if strings.Contains(c.Name, " ") {
			names = append(names, c.Name)
		}
	}
	return names
}

func (a *App) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s for bash: source it, or put it into /usr/share/bash-completion/completions/%[1]s.\n_%[1]s() {\n", a.Name)
	fmt.Fprintf(&b, "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words= kinds= first=2\n\tlocal name=${COMP_WORDS[1]} two=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n\tCOMPREPLY=()\n")
	if files := a.files(); len(files) > 0 {
		fmt.Fprintf(&b, "\tcase $prev in\n\t%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n\tesac\n", strings.Join(files, "|"))
	}
	if names := a.longer(); len(names) > 0 {
		fmt.Fprintf(&b, "\tif ((COMP_CWORD > 2)); then\n\t\tcase $two in\n\t\t'%s') name=$two first=3 ;;\n\t\tesac\n\tfi\n", strings.Join(names, "'|'"))
	}
	fmt.Fprintf(&b, "\tif ((COMP_CWORD == 1)); then\n\t\twords='%s'\n\telse\n\t\tcase $name in\n", join(a.firsts()))
	for i := range a.Commands {
		c := &a.Commands[i]
		fmt.Fprintf(&b, "\t\t'%s') words='%s' kinds='%s' ;;\n", c.Name, join(a.seconds(c)), strings.Join(a.kinds(c), " "))
	}
	fmt.Fprintf(&b, "\t\thelp) words='%s' ;;\n", join(a.firsts()))
	fmt.Fprintf(&b, "\t\tesac\n\tfi\n")
	if a.Names != "" {
		fmt.Fprintf(&b, "\tkinds=($kinds)\n\tif [[ $cur != -* ]] && ((COMP_CWORD >= first)); then\n\t\tcase ${kinds[COMP_CWORD-first]} in\n\t\t%s) words+=\" $(%s)\" ;;\n\t\t%s) words+=\" $(%s \"$prev\")\" ;;\n\t\tesac\n\tfi\n", argService, a.ask(), argID, a.ask())
	}
	fmt.Fprintf(&b, "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _%s %[1]s\n", a.Name)
	return b.String()
}

func (a *App) zsh() string {
	// In a list of _describe a colon ends the word. Flags have a list of their own, because
	// without a hyphen before them they must not be offered.
	list := func(words []word, flags bool) string {
		var all []string
		for _, w := range words {
			if strings.HasPrefix(w.text, "-") != flags {
				continue
			}
			all = append(all, "'"+strings.ReplaceAll(strings.ReplaceAll(w.text, ":", `\:`)+":"+strings.ReplaceAll(w.short, ":", `\:`), "'", `'\''`)+"'")
		}
		return strings.Join(all, " ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# Completion of %[1]s for zsh: put it into a folder of $fpath, as _%[1]s.\n_%[1]s() {\n\tlocal -a names flags kinds\n\tlocal name=$words[2] first=2\n", a.Name)
	if files := a.files(); len(files) > 0 {
		fmt.Fprintf(&b, "\tcase $words[CURRENT-1] in\n\t(%s) _files; return ;;\n\tesac\n", strings.Join(files, "|"))
	}
	if names := a.longer(); len(names) > 0 {
		fmt.Fprintf(&b, "\tif (( CURRENT > 3 )); then\n\t\tcase \"$words[2] $words[3]\" in\n\t\t('%s') name=\"$words[2] $words[3]\" first=3 ;;\n\t\tesac\n\tfi\n", strings.Join(names, "'|'"))
	}
	fmt.Fprintf(&b, "\tif (( CURRENT == 2 )); then\n\t\tnames=(%s)\n\telse\n\t\tcase $name in\n", list(a.firsts(), false))
	for i := range a.Commands {
		c := &a.Commands[i]
		fmt.Fprintf(&b, "\t\t('%s') names=(%s) flags=(%s) kinds=(%s) ;;\n", c.Name, list(a.seconds(c), false), list(a.seconds(c), true), strings.Join(a.kinds(c), " "))
	}
	fmt.Fprintf(&b, "\t\t(help) names=(%s) ;;\n", list(a.firsts(), false))
	fmt.Fprintf(&b, "\t\tesac\n\tfi\n")
	if a.Names != "" {
		fmt.Fprintf(&b, "\tcase $kinds[CURRENT-first] in\n\t(%s) names+=(${(f)\"$(%s)\"}) ;;\n\t(%s) names+=(${(f)\"$(%s $words[CURRENT-1])\"}) ;;\n\tesac\n", argService, a.ask(), argID, a.ask())
	}
	fmt.Fprintf(&b, "\t_describe command names || _describe -o flag flags || _files\n}\nif [ \"$funcstack[1]\" = _%[1]s ]; then _%[1]s; else compdef _%[1]s %[1]s; fi\n", a.Name)
	return b.String()
}

func (a *App) fish() string {
	quote := func(s string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s for fish: put it into ~/.config/fish/completions/%[1]s.fish.\ncomplete -c %[1]s -f\n", a.Name)
	for _, w := range a.firsts() {
		fmt.Fprintf(&b, "complete -c %s -n __fish_use_subcommand -a %s -d %s\n", a.Name, w.text, quote(w.short))
	}
	fmt.Fprintf(&b, "complete -c %s -n '__fish_seen_subcommand_from help' -a %s\n", a.Name, quote(join(a.firsts())))
	files := a.files()
	for i := range a.Commands {
		c := &a.Commands[i]
		var seen []string
		for _, name := range strings.Fields(c.Name) {
			seen = append(seen, "__fish_seen_subcommand_from "+name)
		}
		condition := quote(strings.Join(seen, "; and "))
		for _, w := range a.seconds(c) {
			name, isFlag := strings.CutPrefix(w.text, "-")
			how, condition := "-a "+name, condition
			switch {
			case isFlag:
				how = "-o " + name
			case slices.Contains(a.longer(), c.Name+" "+name): // it may be there already
				condition = quote(strings.Join(seen, "; and ") + "; and not __fish_seen_subcommand_from " + name)
			}
			if slices.Contains(files, w.text) {
				how += " -r -F"
			}
			fmt.Fprintf(&b, "complete -c %s -n %s %s -d %s\n", a.Name, condition, how, quote(w.short))
		}
		if strings.Contains(c.Args, "FILE") || strings.Contains(c.Args, "COMMAND") { // -f above took files away
			fmt.Fprintf(&b, "complete -c %s -n %s -F\n", a.Name, condition)
		}
		for n, kind := range a.kinds(c) {
			ask := a.ask()
			if kind == argID {
				ask += " (commandline -opc)[-1]"
			}
			at := fmt.Sprintf("%s; and test (count (commandline -opc)) -eq %d", strings.Join(seen, "; and "), 1+len(seen)+n)
			fmt.Fprintf(&b, "complete -c %s -n %s -a '(%s)'\n", a.Name, quote(at), ask)
		}
	}
	return b.String()
}
