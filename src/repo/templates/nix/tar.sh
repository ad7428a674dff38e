# Tars (POSIX ustar) that are the same on every machine: names sorted, owned by root, of the first second. Written to $out.

umask 022
mkdir bin
"$busybox/busybox" --install -s bin
PATH=$PWD/bin

sha256() {
	sha256sum <"$1" | cut -d' ' -f1
}

zeros() {
	head -c "$1" /dev/zero
}

# field TEXT WIDTH
field() {
	printf %s "$1"
	zeros $(($2 - ${#1}))
}

# header NAME MODE SIZE TYPE LINK
header() {
	{
		field "$1" 100
		printf '%07o\0%07o\0%07o\0%011o\0%011o\0        ' "$((0$2))" 0 0 "$3" 1
		printf %s "$4"
		field "$5" 100
		printf 'ustar\00000'
		zeros 247
	} >header
	sum=$(od -An -v -tu1 header | awk '{ for (i = 1; i <= NF; i++) sum += $i } END { print sum }')
	head -c 148 header >>"$out"
	printf '%06o\0 ' "$sum" >>"$out"
	tail -c 356 header >>"$out"
}

tar_folder() { # NAME [MODE]
	header "$1/" "${2:-755}" 0 5 ''
}

tar_file() { # NAME FILE
	size=$(stat -c %s "$2")
	mode=644
	[ ! -x "$2" ] || mode=755
	header "$1" $mode "$size" 0 ''
	cat "$2" >>"$out"
	zeros $(((512 - size % 512) % 512)) >>"$out"
}

tar_end() {
	zeros 1024 >>"$out"
}

# tar_of_folder FOLDER: what is in it.
tar_of_folder() {
	(cd "$1" && find . | sort) | sed -n 's|^\./||p' | while read -r name; do
		if [ -L "$1/$name" ]; then
			header "$name" 777 0 2 "$(readlink "$1/$name")"
		elif [ -d "$1/$name" ]; then
			tar_folder "$name" "$(stat -c %a "$1/$name" | sed 's/^555$/755/')"
		else
			tar_file "$name" "$1/$name"
		fi
	done
	tar_end
}

eval "$command"
