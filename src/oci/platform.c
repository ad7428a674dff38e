/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/reference.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static const char *const known_os[] = {"linux", "windows", "darwin", "macos", "freebsd", "netbsd", "openbsd",
	"dragonfly", "solaris", "illumos", "android", "aix", "plan9", "js", "wasip1", "ios", NULL};
static const char *const known_arch[] = {"amd64", "x86_64", "x86-64", "386", "i386", "i686", "arm", "armhf",
	"armel", "arm64", "aarch64", "riscv64", "ppc64le", "ppc64", "s390x", "mips", "mipsle", "mips64",
	"mips64le", "loong64", "loongarch64", "wasm", NULL};

static bool listed(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (cstr_eq(*list, s))
			return true;
	return false;
}

/* The part in lower case; false when it is empty, too long or has other characters than names have. */
static bool copy_part(struct str part, char *out, size_t size)
{
	if (part.len == 0 || part.len >= size || !isalnum((unsigned char)part.ptr[0]))
		return false;
	for (size_t i = 0; i < part.len; i++) {
		char c = part.ptr[i];
		if (!isalnum((unsigned char)c) && c != '_' && c != '.' && c != '-')
			return false;
		out[i] = (char)tolower((unsigned char)c);
	}
	out[part.len] = '\0';
	return true;
}

static void set_part(char out[32], const char *s)
{
	snprintf(out, 32, "%s", s);
}

static void normalize_arm(struct platform *p)
{
	if (!*p->variant || cstr_eq(p->variant, "7"))
		set_part(p->variant, "v7");
	else if (cstr_eq(p->variant, "5") || cstr_eq(p->variant, "6") || cstr_eq(p->variant, "8"))
		set_part(p->variant, (char[]){'v', p->variant[0], '\0'});
}

static void normalize_arm64(struct platform *p)
{
	const char *v = p->variant;
	if (cstr_eq(v, "8") || cstr_eq(v, "v8") || cstr_eq(v, "v8.0"))
		set_part(p->variant, "");
	else if (cstr_eq(v, "9") || cstr_eq(v, "v9") || cstr_eq(v, "v9.0"))
		set_part(p->variant, "v9");
}

static void normalize(struct platform *p)
{
	if (cstr_eq(p->os, "macos"))
		set_part(p->os, "darwin");
	const char *a = p->arch;
	if (cstr_eq(a, "i386") || cstr_eq(a, "i686")) {
		set_part(p->arch, "386");
		set_part(p->variant, "");
	} else if (cstr_eq(a, "x86_64") || cstr_eq(a, "x86-64") || cstr_eq(a, "amd64")) {
		set_part(p->arch, "amd64");
		if (cstr_eq(p->variant, "v1"))
			set_part(p->variant, "");
	} else if (cstr_eq(a, "aarch64") || cstr_eq(a, "arm64")) {
		set_part(p->arch, "arm64");
		normalize_arm64(p);
	} else if (cstr_eq(a, "armhf") || cstr_eq(a, "armv7l")) {
		set_part(p->arch, "arm");
		set_part(p->variant, "v7");
	} else if (cstr_eq(a, "armel") || cstr_eq(a, "armv6l")) {
		set_part(p->arch, "arm");
		set_part(p->variant, "v6");
	} else if (cstr_eq(a, "arm")) {
		normalize_arm(p);
	} else if (cstr_eq(a, "loongarch64")) {
		set_part(p->arch, "loong64");
	}
}

void platform_host(struct platform *out)
{
	struct utsname u;
	*out = (struct platform){.os = "linux"};
	if (uname(&u) == 0)
		copy_part(str_c(u.machine), out->arch, sizeof(out->arch));
	normalize(out);
}

static struct err *platform_bad(struct str text)
{
	return err_hint(err_new(ERR_INVALID, "platform \"" STR_FMT "\" is not understood", STR_ARG(text)),
		"write os/architecture or os/architecture/variant, like linux/amd64 or linux/arm/v7");
}

/* One word: an operating system or an architecture, the other being this machine's. */
static struct err *parse_single(struct str text, struct platform *out)
{
	struct platform p;
	char word[32];
	platform_host(&p);
	if (!copy_part(text, word, sizeof(word)))
		return platform_bad(text);
	if (listed(known_os, word)) {
		set_part(p.os, word);
	} else if (listed(known_arch, word)) {
		set_part(p.arch, word);
		set_part(p.variant, "");
	} else {
		return platform_bad(text);
	}
	normalize(&p);
	*out = p;
	return NULL;
}

struct err *platform_parse(const char *text_c, struct platform *out)
{
	struct str text = str_c(text_c), rest = text, part;
	if (str_index(text, '/') < 0)
		return parse_single(text, out);
	struct platform p = {0};
	char *const fields[] = {p.os, p.arch, p.variant};
	size_t n = 0;
	if (text.ptr[text.len - 1] == '/')
		return platform_bad(text);
	while (str_split(&rest, '/', &part)) {
		if (n == 3 || !copy_part(part, fields[n], sizeof(p.os)))
			return platform_bad(text);
		n++;
	}
	normalize(&p);
	*out = p;
	return NULL;
}

const char *platform_text(const struct platform *p, char out[128])
{
	snprintf(out, 128, "%s/%s%s%s", p->os, p->arch, *p->variant ? "/" : "", p->variant);
	return out;
}

/* "v7" -> 7, "" -> base, others -1. */
static int variant_number(const char *v, int base)
{
	if (!*v)
		return base;
	if (v[0] != 'v' || v[1] < '1' || v[1] > '9' || v[2])
		return -1;
	return v[1] - '0';
}

/* What runs on the wanted variant: the same or a lower one, the nearest first. 50 for the same. */
static int match_variant(const struct platform *want, const struct platform *have)
{
	if (cstr_eq(want->variant, have->variant))
		return 50;
	int base;
	if (cstr_eq(want->arch, "amd64"))
		base = 1;
	else if (cstr_eq(want->arch, "arm64"))
		base = 8;
	else if (cstr_eq(want->arch, "arm"))
		base = 7;
	else
		return !*want->variant || !*have->variant ? 1 : 0;
	int w = variant_number(want->variant, base), h = variant_number(have->variant, base);
	if (w < 0 || h < 0 || h > w)
		return 0;
	return 40 - (w - h);
}

int platform_match(const struct platform *want_in, const struct platform *have_in)
{
	struct platform want = *want_in, have = *have_in;
	normalize(&want);
	normalize(&have);
	if (!cstr_eq(want.os, have.os) || !cstr_eq(want.arch, have.arch))
		return 0;
	int score = match_variant(&want, &have);
	if (score == 0 || !*want.os_version)
		return score;
	return cstr_eq(want.os_version, have.os_version) ? score + 100 : 0;
}
