/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "remote/remote_internal.h"

#include <errno.h>
#include <poll.h>

#define WAIT_MAX (60 * CLOCK_SECOND)
/* A registry that asks for more has shut its door: the user had better know now. */
#define ASKED_MAX (120 * CLOCK_SECOND)
#define MIRROR_TRIES 2
/* Where nobody was ever reached the address is wrong more often than the registry is just starting. */
#define ABSENT_TRIES 2

bool status_may_pass(int status)
{
	return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
	       status == 504;
}

bool error_may_pass(const struct err *e)
{
	return err_kind(e) == ERR_UNAVAILABLE || err_kind(e) == ERR_TIMEOUT;
}

/* Seconds or a date. */
int64_t answer_wait(const struct http_response *r)
{
	const char *text = http_response_header(r, "Retry-After", 0);
	uint64_t seconds;
	int64_t when;
	if (!text)
		return 0;
	if (str_to_u64(str_trim(str_c(text)), &seconds))
		return seconds < 1000000 ? (int64_t)seconds * CLOCK_SECOND : INT64_MAX;
	struct err *e = clock_parse_http(str_trim(str_c(text)), &when);
	if (e) {
		err_ignore(e, "an unreadable Retry-After is as none");
		return 0;
	}
	return when > clock_now() ? when - clock_now() : 0;
}

static bool absent(const struct retry *t, const struct err *e)
{
	int sysno = err_sysno(e);
	return (sysno == ECONNREFUSED || sysno == ENETUNREACH || sysno == EHOSTUNREACH) &&
	       !atomic_load(&t->endpoint->answered);
}

/* How often this may be tried in all. */
static unsigned tries_for(const struct retry *t, const struct err *e)
{
	const struct remote *remote = t->endpoint->remote;
	unsigned tries = remote->tries;
	const unsigned bounds[] = {t->endpoint->mirror ? MIRROR_TRIES : tries, t->most ? t->most : tries,
		absent(t, e) ? ABSENT_TRIES : tries, err_tries(e)};
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		tries = bounds[i] < tries ? bounds[i] : tries;
	return tries;
}

/* No waiting that is sensible helps: the user had better know now. */
static struct err *too_long(const struct retry *t, const struct http_response *r, int64_t asked)
{
	char text[CLOCK_TEXT_MAX];
	struct err *e = err_new(ERR_UNAVAILABLE, "%s answered %d and asks to wait %s", t->endpoint->name,
		r->status, asked == INT64_MAX ? "very long" : clock_duration(asked, text));
	return r->status == 429 ? answer_limit(t->endpoint, r, e) : e;
}

static struct err *sleep_for(const struct cancel *cancel, int64_t ns)
{
	int64_t until = clock_monotonic() + ns;
	for (int64_t left = ns; left > 0; left = until - clock_monotonic()) {
		struct pollfd p = {.fd = cancel_fd(cancel), .events = POLLIN};
		(void)poll(&p, 1, (int)((left + 999999) / 1000000));
		TRY(cancel_check(cancel));
	}
	return NULL;
}

static void tell(const struct retry *t, const struct http_response *r, const struct err *e, int64_t wait)
{
	char text[CLOCK_TEXT_MAX];
	AUTO_FREE char *why = e ? err_text(e) : mem_printf("%s answered %d", t->endpoint->name, r->status);
	event_info(t->io->events, "%s; trying again in %s", why, clock_duration(wait, text));
}

struct err *retry_wait(struct retry *t, const struct http_response *r, const struct err *e, bool *again)
{
	struct remote *remote = t->endpoint->remote;
	*again = false;
	TRY(cancel_check(t->io->cancel));
	bool worth = e ? error_may_pass(e) : status_may_pass(r->status);
	if (!worth || ++t->tried >= tries_for(t, e))
		return NULL;
	int64_t wait = remote->backoff << (t->tried - 1 < 10 ? t->tried - 1 : 10);
	wait = wait < WAIT_MAX ? wait : WAIT_MAX;
	int64_t asked = e ? 0 : answer_wait(r);
	if (t->io->impatient && !e && (asked || r->status == 429))
		return NULL;
	if (asked > ASKED_MAX)
		return too_long(t, r, asked);
	if (!e && !asked && r->status == 429 && answer_limit_spent(r, ASKED_MAX))
		return NULL;
	wait = asked > wait ? asked : wait;
	tell(t, r, e, wait);
	TRY(sleep_for(t->io->cancel, wait));
	*again = true;
	return NULL;
}
