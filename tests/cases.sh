# What the stages share. A stage goes to the root of the tree and sources this; its last line is `finish`.
#
#   each COMMAND CASE...   runs COMMAND CASE for every case, as many at a time as there are cores. A case
#                          passes where that returns 0; what it prints comes whole, in the cases' order. One
#                          whose last line is "N passed, N failed" stands for so many.
#   try CASE COMMAND...    runs one case, now
#   silent CASE COMMAND... the same; it prints nothing, or one line that ends in ", 0 failed"
#   finish                 prints the last line; the exit code is 1 where a case failed
#
# A failure is a line "FAILED CASE" and, indented below it, what was printed. $scratch is the stage's folder,
# and `each` gives every case an empty one, $work. Whatever ends a stage ends its cases and removes these.
scratch=$(mktemp -d) || exit 2
chmod 755 "$scratch"
passed=0 failed=0 slots=${SLOTS:-$(nproc)}

leave() {
    trap '' INT TERM
    local group
    for group in $(jobs -p); do kill -TERM -- "-$group"; done 2> /dev/null
    wait
    chmod -R u+w "$scratch"
    rm -rf "$scratch"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# count CODE CASE FILE: a case that ended so, and printed FILE
count() {
    local last=; [ ! -s "$3" ] || last=$(tail -1 "$3")
    if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] &&
        { [ "$1" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ]; }; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
        sed '$d' "$3"
    elif [ "$1" = 0 ]; then
        passed=$((passed + 1))
        [ ! -s "$3" ] || echo "$2: $(< "$3")"
    else
        failed=$((failed + 1))
        echo "FAILED $2"
        sed 's/^/    /' "$3"
    fi
}

try() {
    local name=$1 code; shift
    "$@" > "${work:-$scratch}/said" 2>&1; code=$?
    count $code "$name" "${work:-$scratch}/said"
}

silent() { try "$1" mute "${@:2}"; }
mute() {
    "$@" > "${work:-$scratch}/muted" 2>&1 || { cat "${work:-$scratch}/muted"; return 1; }
    set -- "$(head -20 "${work:-$scratch}/muted")"
    [[ -z $1 || $1 != *$'\n'* && $1 == *', 0 failed' ]] || { echo "$1"; return 1; }
}

# Those that ended, as far as none before them is at work. `cases`, `told`, `last` and `tokens` are of `each`.
tell() {
    local code
    while [ $told -lt $last ] && [ -s "$scratch/$told.code" ]; do
        read -r code < "$scratch/$told.code"
        count "$code" "${cases[told]}" "$scratch/$told.said"
        told=$((told + 1))
    done
}

# A slot is a byte in a pipe: who takes it may start, who ends puts it back. Each case is a group of processes
# (set -m), so that it can be ended whole.
each() {
    local command=$1 told=0 last=0 tokens case cases=("${@:2}")
    rm -f "$scratch/slots" "$scratch"/*.code && mkfifo "$scratch/slots" && exec {tokens}<> "$scratch/slots" || exit 2
    printf '%*s' "$slots" '' >&$tokens
    set -m
    for case in "${cases[@]}"; do
        read -rN 1 -u $tokens
        tell
        run_case $last "$case" < /dev/null > "$scratch/$last.said" 2>&1 &
        last=$((last + 1))
    done
    wait
    set +m
    tell
    exec {tokens}>&-
}

run_case() { # NUMBER CASE
    work=$scratch/$1.work
    mkdir "$work"
    (set +m; trap - EXIT INT TERM; "$command" "$2")
    echo $? > "$scratch/$1.code"
    rm -rf "$work" 2> /dev/null || { chmod -R u+w "$work"; rm -rf "$work"; }
    echo -n ' ' >&$tokens
}

finish() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ]
}
