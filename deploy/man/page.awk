# page.awk - makes a manual page of its prose and of what the programs say of themselves.
#
#   awk -v version=1.2.3 -f page.awk ternmq.8.in       the programs are found by PATH
#
# A page is written as man(7) has it, but for: @VERSION@; a line "@help COMMAND", which stands for the options and
# paragraphs that the shell command prints ("== TEXT" is a heading there); a line "@keys PROGRAM", which stands for the
# keys of the configuration as --example-config prints them.

function fail(text) {
    print "page.awk: " text >"/dev/stderr"
    failed = 1
    exit 1
}

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/`/, "\\(ga", text)
    gsub(/'/, "\\(aq", text)
    return text
}

function put(text) {
    text = escaped(text)
    if (text ~ /^[.]/)
        text = "\\&" text
    print text
    fresh = 0
}

# Not at the beginning of a section.
function space() {
    if (!fresh)
        print ".PP"
    fresh = 0
}

function heading(text) {
    print ".SS " escaped(text)
    fresh = 1
}

# What is to be replaced is in italics, the rest in bold.
function term(text,    words, n, i, line) {
    n = split(text, words, " ")
    for (i = 1; i <= n; i++)
        line = line (i > 1 ? " " : "") (words[i] ~ /^[[]?[A-Z][A-Z|]*[],]?$/ ? "\\fI" : "\\fB") escaped(words[i]) "\\fR"
    return line
}

# ---- Outlines -----------------------------------------------------------------------------------------
# "  TERM  text". Lines below the text go on with it; deeper ones are terms within it.

function say(text) {
    if (waiting != "")
        print ".TP\n" term(waiting)
    waiting = ""
    put(text)
}

# A term of which nothing is said stands alone.
function end_term() {
    if (waiting != "") {
        space()
        print term(waiting)
    }
    waiting = ""
}

function leave() {
    end_term()
    if (within)
        print ".RE"
    within = 0
}

function begin_term(text, indent,    gap) {
    end_term()
    gap = match(text, /   */) ? RSTART : 0
    waiting = gap ? substr(text, 1, gap - 1) : text
    column = gap ? indent + gap + RLENGTH - 1 : 0
    if (gap)
        say(substr(text, gap + RLENGTH))
}

function item(text, indent) {
    blank = 0
    if (waiting != "" && indent > at) { # its text begins below it
        column = indent
        say(text)
    } else if (column > 0 && indent == column) {
        say(text)
    } else {
        if (indent <= top || text ~ /^-/) {
            leave()
            top = indent
        } else if (!within) {
            end_term()
            print ".RS"
            within = 1
        }
        at = indent
        begin_term(text, indent)
    }
}

function paragraph(text) {
    leave()
    top = 1000 # whatever the next indent is
    column = 0
    if (blank)
        space()
    blank = 0
    put(text)
}

function outline(command,    line, lines) {
    within = lines = blank = column = 0
    top = 1000
    waiting = ""
    while ((command | getline line) > 0) {
        lines++
        match(line, /^ */)
        if (line == "") {
            leave()
            top = 1000
            blank = 1
            continue
        }
        if (line ~ /^== /)
            heading(substr(line, 4))
        else if (RLENGTH == 0)
            paragraph(line)
        else
            item(substr(line, RLENGTH + 1), RLENGTH)
    }
    leave()
    if (close(command) != 0 || lines == 0)
        fail("\"" command "\" failed or said nothing")
}

# ---- Keys -------------------------------------------------------------------------------------------

# Which have a default: --help shows it beside the name.
function read_defaults(program,    command, line, words) {
    command = program " --help"
    while ((command | getline line) > 0)
        if (line ~ /^  [a-z]/ && split(line, words, " ") > 1)
            has_default[words[1]] = 1
    close(command)
}

# "#NAME VALUE", below comments that say what it is and, at their end, in brackets, of what kind.
function put_key(line, count,    name, kind, i, value) {
    name = line
    sub(/ .*/, "", name)
    value = substr(line, length(name) + 2)
    kind = count
    while (kind > 0 && comment[kind] !~ /^[(]/)
        kind--
    print ".TP\n\\fB" escaped(name) "\\fR"
    for (i = 1; i < kind; i++)
        put(comment[i])
    print ".br"
    for (i = kind; i <= count; i++)
        put(comment[i])
    print ".br"
    print (name in has_default ? "Default: " : "Example: ") "\\fB" escaped(value) "\\fR"
}

function keys(program,    command, line, count, put_count) {
    read_defaults(program)
    command = program " --example-config"
    while ((command | getline line) > 0) {
        if (line ~ /^# ---- /) {
            gsub(/^# ---- | ----$/, "", line)
            heading(line)
            count = 0
        } else if (line ~ /^# /)
            comment[++count] = substr(line, 3)
        else if (line ~ /^#/) {
            put_key(substr(line, 2), count)
            put_count++
            count = 0
        } else
            count = 0
    }
    if (close(command) != 0 || put_count == 0)
        fail(program " printed no keys")
}

# ---- The page ---------------------------------------------------------------------------------------

/^@help / { outline(substr($0, 7)); next }
/^@keys / { keys($2); next }
{ gsub(/@VERSION@/, version); print; fresh = /^[.]S[HS] / }
END { exit failed }
