# table.sh: connections tried, with their result and the rules that decided it, as the containers' programs report them.
# shellcheck shell=bash

# watch_decisions: watch in the background, and wait until it sees something.
watch_decisions() {
  end sluice
  : >"$run/sluice.log"
  launch sluice sluice monitor --type verdict
  until_ok 10 seen_first || fail "sluice monitor sees nothing; it says:
$(cat "$run/sluice.log")"
}
seen_first() { docker exec demo-web probe tcp demo-api:80 && [ -s "$run/sluice.log" ]; }

# decisions FROM TO VERDICT: the rules of such packets since line $since of the log, one a line.
decisions() {
  tail -n +"$since" "$run/sluice.log" | sed -n "s/.* $3 demo-$1([^)]*):[0-9]* -> demo-$2(.* by \(.*\) (.*/\1/p" | awk '!shown[$0]++'
}
decided() { [ "$(decisions "$1" "$2" "$3" | wc -l)" -ge "$4" ]; }

table_head() { printf '\n   %-12s %-9s %s\n' CONNECTION RESULT 'RULE (of the one that opens it, and of the one that it reaches)'; }

# try FROM TO allowed|dropped: a line of the table. Any other result than this is an error.
try() {
  local result=allowed verdict=ALLOWED rules=2 color=32 answer since
  since=$(($(wc -l <"$run/sluice.log") + 1))
  answer=$(docker exec "demo-$1" probe tcp -w 700ms "demo-$2:80" 2>&1) || result=dropped verdict=DENIED rules=1 color=31
  until_ok 3 decided "$1" "$2" $verdict $rules || true
  printf '   %-12s \033[%sm%-9s\033[0m %s\n' "$1 -> $2" $color $result \
    "$(decisions "$1" "$2" $verdict | sed 's/^default$/no rule closes it/' | paste -sd+ | sed 's/+/ + /g')"
  [ $result = "$3" ] || fail "$1 to $2 should be $3: $answer"
}
