# The cheat sheet: every function, macro and constant that the public headers declare, with the
# comment on its line, or else the first sentence of the comment before it. What stands right below
# another declaration, without a comment of its own, is one with it. None may be left without words.
#
#     awk -f docs/cheat_sheet.awk HEADER... > docs/cheat-sheet.md
#
# Paths of headers are relative to the repository. A test compares the file with what this makes.

function title() {
    if (titled) return
    printf "\n## %s\n\n| | |\n|---|---|\n", FILENAME
    titled = 1
}

function row(text, comment) {
    if (comment == "" && start == below) comment = "as above"
    if (comment == "") {
        printf "%s:%d: no comment: %s\n", FILENAME, FNR, text >"/dev/stderr"
        failed = 1
    }
    below = FNR + 1
    gsub(/ +/, " ", text)
    gsub(/\|/, "\\|", text)
    gsub(/ +/, " ", comment)
    gsub(/\|/, "\\|", comment)
    gsub(/\*/, "\\*", comment)
    title()
    printf "| `%s` | %s |\n", text, comment
    before = ""
}

# "A seed. It counts." -> "A seed"; a comment that shows code ends before it, a long one at a comma.
function first_sentence(comment) {
    sub(/^[ *]+/, "", comment)
    sub(/(\.|:|;)( .*)?$/, "", comment)
    while (length(comment) > 120 && sub(/[,(][^,(]*$/, "", comment)) continue
    return comment
}

function finish(    text, comment, at) {
    text = declaration
    declaration = ""
    at = index(text, "/*")
    comment = first_sentence(before)
    if (at > 0) {
        comment = substr(text, at + 2)
        sub(/ *\*\/.*/, "", comment)
        sub(/^ */, "", comment)
        text = substr(text, 1, at - 1)
    }
    sub(/; *$/, "", text)
    row(text, comment)
}

BEGIN {
    print "# Cheat sheet"
    print ""
    print "What the public headers declare, made from them by `docs/cheat_sheet.awk`; the headers have"
    print "formulas, shapes, errors and who owns what."
}
FNR == 1 { titled = 0; declaration = ""; inside = 0; before = ""; below = 0 }
/^\/\* ---/ { next } # the title of a section
/^\/\*/ {
    inside = 1
    before = ""
}
inside {
    line = $0
    sub(/^\/?\*+/, "", line)
    sub(/^ \*/, "", line)
    if (/\*\/ *$/) inside = 0
    sub(/ *\*\/ *$/, "", line)
    sub(/^ +/, "", line)
    # A sentence that has ended takes no more.
    if (before !~ /[.:;]( |$)/) before = before " " line
    next
}
/^ *$/ { before = "" }
/^#define CT_[A-Z_0-9]+\(/ {
    start = FNR
    sub(/^#define /, "")
    text = $0
    sub(/\).*/, ")", text)
    row(text, first_sentence(before))
    next
}
declaration == "" && /^(extern |const |ct_|void |bool |int |int64_t |double |char |uint64_t |size_t )/ &&
    !/\{/ { declaration = $0; start = FNR }
declaration != "" && $0 != declaration { declaration = declaration " " $0 }
declaration != "" && /;( *\/\*.*\*\/)? *$/ { finish() }
END { exit failed }
