# Takes the code out of documents: fenced blocks of Markdown, and what a comment of a header shows
# indented by four columns more, if one of its lines ends as a line of C does.
#
#     awk -v out=FOLDER -f code_blocks.awk FILE...
#
# The seventh block goes to FOLDER/7.c: its definitions, then its statements in a function. Shell
# goes to FOLDER/shell, a line "FILE:LINE: command" each. A comment on the line before a fenced
# block says where it belongs:
#     <!-- part of PATH -->    it stands there, but for white space: FOLDER/7.part, PATH first
#     <!-- added to PATH -->   it compiles at the end of that file: FOLDER/7.added
#     <!-- runs -->            it is a program too, which has to end well: FOLDER/7.run.c

function begin(kind) {
    language = kind
    count = 0
    start = FNR
}

# Whether a line at the left margin begins a definition, not a statement.
function defines(line) {
    if (line ~ /^(#|static |typedef |extern |CT_OP\()/) return 1
    if (line ~ /^[a-z][a-z0-9_]* +\**[a-z0-9_]+\(.*,$/) return 1 # its head goes on
    return line ~ /^[a-z].*\) \{/ && line !~ /^(if|for|while|switch|do|else)[ (]/
}

function write_part(name,    k) {
    print path > name
    for (k = 1; k <= count; k++) print lines[k] > name
    close(name)
}

function write_added(name,    k) {
    printf "#include \"%s\"\n#line %d \"%s\"\n", path, start, FILENAME > name
    for (k = 1; k <= count; k++) print lines[k] > name
    close(name)
}

function write_code(name,    k, line, depth, definition, statements) {
    print "#include \"prelude.h\"" > name
    for (k = 1; k <= count; k++) {
        line = lines[k]
        sub(/\{ \.\.\. \}/, "{}", line) # a body that is left out
        if (!definition) definition = defines(line)
        depth += gsub(/\{/, "{", line) - gsub(/\}/, "}", line)
        line = "#line " (start + k - 1) " \"" FILENAME "\"\n" line "\n"
        if (definition) printf "%s", line > name
        else statements = statements line
        if (depth == 0 && lines[k] ~ /(^#.*|[;}])$/) definition = 0
    }
    if (statements != "") {
        printf "void fragment(void);\nvoid fragment(void) {\n%s}\n", statements > name
    }
    if (how == "runs") print "int main(void) { return ended_well(fragment); }" > name
    close(name)
}

function write_shell(    k) {
    for (k = 1; k <= count; k++) {
        if (lines[k] !~ /^(#.*)?$/) {
            print FILENAME ":" (start + k - 1) ": " lines[k] > (out "/shell")
        }
    }
}

function end() {
    if (language == "sh") write_shell()
    if (language == "c" && how == "part of") write_part(out "/" (++blocks) ".part")
    if (language == "c" && how == "added to") write_added(out "/" (++blocks) ".added")
    if (language == "c" && how == "") write_code(out "/" (++blocks) ".c")
    if (language == "c" && how == "runs") write_code(out "/" (++blocks) ".run.c")
    language = how = ""
}

FNR == 1 { markdown = FILENAME ~ /\.md$/ }

markdown && /^<!-- (part of|added to) [^ ]* -->$/ {
    how = $2 " " $3
    path = $4
    next
}
markdown && /^<!-- runs -->$/ {
    how = "runs"
    next
}
markdown && /^```/ {
    if (language != "") end()
    else {
        begin(substr($0, 4) == "" ? "text" : substr($0, 4))
        start++
    }
    next
}
markdown && language == "" && !/^$/ { how = "" }

!markdown && /^ \*     / {
    if (language == "") {
        begin("c")
        code = 0
    }
    sub(/ *\*\/$/, "")
    line = substr($0, 8)
    if (line ~ /[;{}]( *\/[\/*].*)?$/) code = 1
    lines[++count] = line
    next
}
!markdown && language != "" {
    if (code) end()
    language = ""
}

language != "" { lines[++count] = $0 }
