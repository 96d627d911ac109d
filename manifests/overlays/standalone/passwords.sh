#!/bin/sh
# Choose the passwords of the store's three users: a NAME.env beside each NAME.env.example, unless it
# exists. Git ignores them.
set -eu
cd "$(dirname "$0")"
umask 077
for example in *.env.example; do
    file=${example%.example}
    if [ -e "$file" ]; then
        continue
    fi
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    sed '/=$/d' "$example" > "$file"
    printf '%s%s\n' "$(grep '=$' "$example")" "$password" >> "$file"
    echo "$file"
done
