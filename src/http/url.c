/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#define URL_MAX ((size_t)64 << 10)

void url_fini(struct url *u)
{
	mem_freep(&u->scheme);
	mem_freep(&u->host);
	mem_freep(&u->path);
	mem_freep(&u->userinfo);
	*u = (struct url){0};
}

static char *lower(struct str s)
{
	char *out = mem_strndup(s.ptr, s.len);
	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return out;
}

static bool all_printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] >= 0x7f || s.ptr[i] == '\\')
			return false;
	return true;
}

static bool valid_name(struct str host)
{
	for (size_t i = 0; i < host.len; i++)
		if (!isalnum((unsigned char)host.ptr[i]) && !strchr(".-_", host.ptr[i]))
			return false;
	return host.len > 0 && host.len <= 253;
}

static bool valid_ip6(struct str host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	if (host.len >= sizeof(text))
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	return inet_pton(AF_INET6, text, &address) == 1;
}

/* "host", "host:port", "[v6]:port". Returns what is wrong or NULL. */
static const char *parse_host_port(struct str text, struct url *u)
{
	struct str port = {0}, host = text;
	if (str_starts(text, "[")) {
		ptrdiff_t close = str_index(text, ']');
		if (close < 0)
			return "the host lacks its ']'";
		host = str_n(text.ptr + 1, (size_t)close - 1);
		struct str rest = str_skip(text, (size_t)close + 1);
		if (rest.len && rest.ptr[0] != ':')
			return "after ']' must come ':' and a port";
		if (rest.len)
			port = str_skip(rest, 1);
		if (!valid_ip6(host))
			return "the host is not an IPv6 address";
	} else {
		ptrdiff_t colon = str_index(text, ':');
		if (colon >= 0) {
			host = str_n(text.ptr, (size_t)colon);
			port = str_skip(text, (size_t)colon + 1);
		}
		if (!valid_name(host))
			return "the host is not a name or address";
	}
	u->port = cstr_eq(u->scheme, "https") ? 443 : 80;
	uint64_t number;
	if (port.len) {
		if (!str_to_u64(port, &number) || number == 0 || number > 65535)
			return "the port is not a number from 1 to 65535";
		u->port = (uint16_t)number;
		u->explicit_port = true;
	}
	u->host = lower(host);
	return NULL;
}

static const char *parse_parts(struct str text, struct url *u)
{
	if (text.len > URL_MAX)
		return "it is too long";
	if (!all_printable(text))
		return "it has blanks or control characters";
	size_t at = 0;
	while (at < text.len && isalpha((unsigned char)text.ptr[at]))
		at++;
	u->scheme = lower(str_n(text.ptr, at));
	if (!cstr_eq(u->scheme, "http") && !cstr_eq(u->scheme, "https"))
		return "it must begin with http:// or https://";
	struct str rest = str_skip(text, at);
	if (!str_starts(rest, "://"))
		return "it must begin with http:// or https://";
	rest = str_skip(rest, 3);
	size_t end = 0;
	while (end < rest.len && !strchr("/?#", rest.ptr[end]))
		end++;
	struct str authority = str_n(rest.ptr, end), path = str_skip(rest, end);
	ptrdiff_t mark = str_index(path, '#');
	if (mark >= 0)
		path.len = (size_t)mark;
	ptrdiff_t user_end = str_rindex(authority, '@');
	if (user_end >= 0) {
		u->userinfo = mem_strndup(authority.ptr, (size_t)user_end);
		authority = str_skip(authority, (size_t)user_end + 1);
	}
	u->path = mem_printf("%s" STR_FMT, str_starts(path, "/") ? "" : "/", STR_ARG(path));
	return parse_host_port(authority, u);
}

struct err *url_parse(const char *text, struct url *out)
{
	struct url u = {0};
	const char *wrong = parse_parts(str_c(text), &u);
	if (wrong) {
		url_fini(&u);
		AUTO_FREE char *shown = url_for_message(text);
		return err_new(ERR_INVALID, "URL '%.300s': %s", shown, wrong);
	}
	*out = u;
	return NULL;
}

static void add_origin(struct buf *out, const struct url *u)
{
	buf_addf(out, "%s://", u->scheme);
	if (u->userinfo)
		buf_addf(out, "%s@", u->userinfo);
	buf_addf(out, strchr(u->host, ':') ? "[%s]" : "%s", u->host);
	if (u->explicit_port)
		buf_addf(out, ":%u", u->port);
}

/* RFC 3986, 5.2.4. path begins with "/" and has no query. */
static void remove_dots(struct buf *out, struct str path)
{
	size_t floor = out->len;
	struct str segment;
	path = str_skip(path, 1);
	while (str_split(&path, '/', &segment)) {
		bool last = path.ptr == NULL;
		bool up = str_eq_c(segment, "..");
		if (up)
			while (out->len > floor && out->ptr[--out->len] != '/')
				;
		if (up)
			buf_truncate(out, out->len);
		if (up || str_eq_c(segment, ".")) {
			if (last)
				buf_addc(out, '/');
			continue;
		}
		buf_addc(out, '/');
		buf_addstr(out, segment);
	}
	if (out->len == floor)
		buf_addc(out, '/');
}

/* Servers send blanks and raw UTF-8 in Location. */
static void escape_raw(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c == ' ' || c >= 0x80)
			buf_addf(out, "%%%02X", c);
		else
			buf_addc(out, (char)c);
	}
}

static bool has_scheme(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == ':')
			return i > 0;
		if (!isalnum((unsigned char)s.ptr[i]) && !strchr("+-.", s.ptr[i]))
			return false;
	}
	return false;
}

static struct str without_query(const char *path)
{
	struct str s = str_c(path);
	ptrdiff_t mark = str_index(s, '?');
	return mark < 0 ? s : str_n(s.ptr, (size_t)mark);
}

static void resolve_path(struct buf *out, const struct url *base, struct str ref)
{
	add_origin(out, base);
	if (!ref.len) {
		buf_adds(out, base->path);
		return;
	}
	struct str dir = without_query(base->path);
	if (ref.ptr[0] == '?') {
		buf_addstr(out, dir);
		buf_addstr(out, ref);
		return;
	}
	ptrdiff_t mark = str_index(ref, '?');
	struct str path = mark < 0 ? ref : str_n(ref.ptr, (size_t)mark);
	AUTO_BUF struct buf merged = {0};
	if (!str_starts(path, "/"))
		buf_add(&merged, dir.ptr, (size_t)str_rindex(dir, '/') + 1);
	buf_addstr(&merged, path);
	remove_dots(out, buf_str(&merged));
	if (mark >= 0)
		buf_addstr(out, str_skip(ref, (size_t)mark));
}

struct err *url_resolve(const char *base, const char *ref, char **out)
{
	AUTO(url_fini) struct url b = {0}, check = {0};
	TRY(url_parse(base, &b));
	AUTO_BUF struct buf text = {0}, clean = {0};
	struct str r = str_trim(str_c(ref));
	ptrdiff_t mark = str_index(r, '#');
	if (mark >= 0)
		r.len = (size_t)mark;
	escape_raw(&clean, r);
	r = buf_str(&clean);
	if (str_starts(r, "//"))
		buf_addf(&text, "%s:" STR_FMT, b.scheme, STR_ARG(r));
	else if (has_scheme(r))
		buf_addstr(&text, r);
	else
		resolve_path(&text, &b, r);
	TRY(url_parse(buf_cstr(&text), &check));
	*out = buf_steal(&text);
	return NULL;
}

void url_encode(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c < 0x80 && (isalnum(c) || (c && strchr("-._~", c))))
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

char *url_for_message(const char *text)
{
	struct str s = without_query(text ? text : "");
	AUTO_BUF struct buf out = {0};
	const char *start = s.len ? memmem(s.ptr, s.len, "://", 3) : NULL;
	if (start) {
		size_t head = (size_t)(start - s.ptr) + 3;
		struct str rest = str_skip(s, head);
		ptrdiff_t slash = str_index(rest, '/');
		ptrdiff_t at = str_rindex(slash < 0 ? rest : str_n(rest.ptr, (size_t)slash), '@');
		buf_add(&out, s.ptr, head);
		s = str_skip(rest, (size_t)(at + 1));
	}
	for (size_t i = 0; i < s.len; i++)
		buf_addc(&out, (unsigned char)s.ptr[i] < ' ' ? '?' : s.ptr[i]);
	return buf_steal(&out);
}

bool host_is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcasecmp(host, "localhost") == 0 || cstr_ends(host, ".localhost"))
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}
