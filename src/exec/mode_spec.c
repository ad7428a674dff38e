/* SPDX-License-Identifier: Apache-2.0 */
#include "exec/mode_spec.h"

#include "base/str.h"

#include <string.h>

static struct err *bad(const char *text)
{
	return err_hint(err_new(ERR_INVALID, "\"%s\" is not a mode", text),
		"write it in octal (0644) or as chmod does (u+x,go-w)");
}

static bool parse_who(const char **p, uint32_t *who)
{
	uint32_t w = 0;
	for (;; (*p)++) {
		if (**p == 'u')
			w |= 04700;
		else if (**p == 'g')
			w |= 02070;
		else if (**p == 'o')
			w |= 01007;
		else if (**p == 'a')
			w |= 07777;
		else
			break;
	}
	*who = w ? w : 07777;
	return w != 0;
}

static void parse_bits(const char **p, bool said_who, struct mode_clause *c)
{
	if (**p == 'u' || **p == 'g' || **p == 'o') {
		c->copy = (uint32_t)(unsigned char)*(*p)++;
		return;
	}
	for (;; (*p)++) {
		if (**p == 'r')
			c->bits |= 0444;
		else if (**p == 'w')
			c->bits |= 0222;
		else if (**p == 'x')
			c->bits |= 0111;
		else if (**p == 'X')
			c->big_x = true;
		else if (**p == 's')
			c->bits |= 06000;
		else if (**p == 't')
			c->bits |= 01000;
		else
			break;
	}
	/* "o+t" is nothing, "+t" and "u+t" are the sticky bit, as in chmod(1). */
	uint32_t reach = said_who ? (c->who & ~01000u) | ((c->who & 07000) == 07000 ? 01000u : 0) : 07777;
	c->bits &= reach;
}

struct err *mode_spec_parse(const char *text, struct mode_spec *out)
{
	struct mode_spec s = {0};
	const char *p = text;
	if (*p >= '0' && *p <= '7') {
		if (!str_to_octal(str_c(text), &s.mode) || s.mode > 07777)
			return bad(text);
		s.octal = true;
		*out = s;
		return NULL;
	}
	for (;;) {
		uint32_t who;
		bool said_who = parse_who(&p, &who);
		if (!strchr("+-=", *p) || !*p)
			return bad(text);
		while (*p && strchr("+-=", *p)) {
			if (s.count == MODE_CLAUSES_MAX)
				return bad(text);
			struct mode_clause *c = &s.clauses[s.count++];
			c->who = who;
			c->op = *p++;
			parse_bits(&p, said_who, c);
		}
		if (!*p)
			break;
		if (*p++ != ',')
			return bad(text);
	}
	*out = s;
	return NULL;
}

static uint32_t class_bits(uint32_t mode, uint32_t class)
{
	uint32_t three = class == 'u' ? mode >> 6 : class == 'g' ? mode >> 3 : mode;
	return (three & 7) * 0111;
}

uint32_t mode_spec_apply(const struct mode_spec *s, uint32_t mode, bool is_dir)
{
	if (s->octal)
		return s->mode;
	mode &= 07777;
	for (int i = 0; i < s->count; i++) {
		const struct mode_clause *c = &s->clauses[i];
		uint32_t bits = c->copy ? class_bits(mode, c->copy) & c->who & 0777 : c->bits;
		if (c->big_x && (is_dir || (mode & 0111)))
			bits |= 0111 & c->who;
		if (c->op == '+')
			mode |= bits;
		else if (c->op == '-')
			mode &= ~bits;
		else
			mode = (mode & ~(c->who & (is_dir ? 0777u : 07777u))) | bits;
	}
	return mode;
}
