/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/render_internal.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define TICK_NS 100000000
#define NARROW 40

struct screen {
	unsigned width, height;
};

static struct screen screen_size(const struct display *d)
{
	struct winsize w = {0};

	if (ioctl(fileno(d->err), TIOCGWINSZ, &w) < 0 || w.ws_col < NARROW)
		return (struct screen){80, 24};
	return (struct screen){w.ws_col, w.ws_row ? w.ws_row : 24};
}

/* One line, cut to the screen, control characters made harmless. Bytes of UTF-8 sequences count once. */
static void put_line(struct buf *out, struct str text, unsigned width)
{
	unsigned columns = 0;

	for (size_t i = 0; i < text.len && columns < width; i++) {
		unsigned char c = (unsigned char)text.ptr[i];
		if (c == '\t') {
			buf_addc(out, ' ');
			columns++;
		} else if (c == 0x1b) {
			/* colours of programs: the whole sequence is dropped */
			while (i + 1 < text.len &&
				!((text.ptr[i + 1] >= 'A' && text.ptr[i + 1] <= 'Z') ||
					(text.ptr[i + 1] >= 'a' && text.ptr[i + 1] <= 'z')))
				i++;
			i++;
		} else if (c >= 0x20 && c != 0x7f) {
			buf_addc(out, (char)c);
			columns += (c & 0xc0) != 0x80;
		}
	}
}

static void put_step(
	struct buf *out, const struct shown_step *s, const char *mark, int64_t took, unsigned width)
{
	AUTO_BUF struct buf line = {0};
	char time[CLOCK_TEXT_MAX];

	buf_addf(&line, " %s %s", mark, s->name ? s->name : "");
	clock_duration(took, time);
	unsigned room = width - 10;
	size_t before = out->len;
	put_line(out, buf_str(&line), room);
	size_t used = out->len - before;
	for (size_t i = used; i < room; i++)
		buf_addc(out, ' ');
	buf_addf(out, "%9s\n", took ? time : "");
}

static void put_transfer(struct buf *out, const struct shown_transfer *t, unsigned width)
{
	char done[CLOCK_TEXT_MAX], total[CLOCK_TEXT_MAX];
	unsigned cells = width > 90 ? 30 : 10;
	uint64_t whole = t->total ? t->total : 1;
	unsigned full = t->total ? (unsigned)((double)t->done / (double)whole * cells) : 0;

	buf_addf(out, "    %-28.28s [", t->name);
	for (unsigned i = 0; i < cells; i++)
		buf_addc(out, i < full ? '#' : '.');
	if (t->total)
		buf_addf(out, "] %s / %s\n", size_text(t->done, done), size_text(t->total, total));
	else
		buf_addf(out, "] %s\n", size_text(t->done, done));
}

static unsigned put_tail(struct buf *out, const struct shown_step *s, unsigned width, unsigned lines)
{
	struct str tail = buf_str(&s->tail);
	size_t at = tail.len, end = tail.len;
	unsigned found = 0;

	if (end && tail.ptr[end - 1] == '\n')
		at = --end;
	while (at > 0) {
		if (tail.ptr[at - 1] == '\n' && ++found == lines)
			break;
		at--;
	}
	unsigned shown = 0;
	for (struct str rest = str_n(tail.ptr + at, end - at), line;
		rest.ptr && rest.len && str_split(&rest, '\n', &line);) {
		buf_adds(out, "     ");
		put_line(out, line, width - 6);
		buf_addc(out, '\n');
		shown++;
	}
	return shown;
}

static unsigned count_newlines(const struct buf *b, size_t from)
{
	unsigned n = 0;

	for (size_t i = from; i < b->len; i++)
		n += b->ptr[i] == '\n';
	return n;
}

static void erase(struct display *d, struct buf *out)
{
	if (d->drawn)
		buf_addf(out, "\033[%uA\033[J", d->drawn);
	d->drawn = 0;
}

/* The live region: what runs now, with its last lines. Kept below the screen's height, or it could not be
 * redrawn. */
static void draw(struct display *d, struct buf *out)
{
	struct screen screen = screen_size(d);
	size_t from = out->len;
	size_t running = 0;

	for (size_t i = 1; i < d->steps.len; i++)
		running += ((struct shown_step *)vec_at(&d->steps, i))->state == SHOWN_RUNNING;
	unsigned room = screen.height > 4 ? screen.height - 3 : 1;
	unsigned tail = running && room / running > 1 ? (unsigned)(room / running) - 2 : 0;
	if (tail > TAIL_LINES)
		tail = TAIL_LINES;
	for (size_t i = 1; i < d->steps.len; i++) {
		struct shown_step *s = vec_at(&d->steps, i);
		if (s->state != SHOWN_RUNNING || count_newlines(out, from) + 1 >= room)
			continue;
		put_step(out, s, "=>", clock_monotonic() - s->started, screen.width);
		if (tail)
			put_tail(out, s, screen.width, tail);
	}
	for (size_t i = 0; i < d->transfers.len; i++) {
		const struct shown_transfer *t = vec_at(&d->transfers, i);
		if (!t->finished && count_newlines(out, from) + 1 < room)
			put_transfer(out, t, screen.width);
	}
	d->drawn = count_newlines(out, from);
}

static void flush_out(struct display *d, struct buf *out)
{
	fwrite(out->ptr, 1, out->len, d->err);
	fflush(d->err);
}

static void *tick(void *arg)
{
	struct display *d = arg;
	const struct timespec pause = {0, TICK_NS};

	for (;;) {
		nanosleep(&pause, NULL);
		AUTO_BUF struct buf out = {0};
		pthread_mutex_lock(&d->lock);
		bool stop = d->stop;
		if (!stop) {
			erase(d, &out);
			draw(d, &out);
			flush_out(d, &out);
		}
		pthread_mutex_unlock(&d->lock);
		if (stop)
			return NULL;
	}
}

static void put_finished(struct buf *out, const struct shown_transfer *t, unsigned width)
{
	char size[CLOCK_TEXT_MAX];
	AUTO_FREE char *text = mem_printf("%s  %s", t->name, size_text(t->total, size));
	const struct shown_step line = {.name = text};

	put_step(out, &line, "=>", clock_monotonic() - t->started, width);
}

static void permanent(struct display *d, const struct event *e, struct buf *out)
{
	struct screen screen = screen_size(d);
	struct shown_step *s = display_step(d, e->step);
	const struct shown_transfer *through = display_finished(d, e);

	if (through)
		put_finished(out, through, screen.width);
	else if (e->type == EVENT_CACHED)
		put_step(out, s, "=> CACHED", 0, screen.width);
	else if (e->type == EVENT_DONE)
		put_step(out, s, "=>", e->duration, screen.width);
	else if (e->type == EVENT_FAILED)
		put_step(out, s, "=> FAILED", e->duration, screen.width);
	else if (e->type == EVENT_CANCELED)
		put_step(out, s, "=> CANCELED", e->duration, screen.width);
	else if (e->type == EVENT_WARNING)
		warning_text(e, out);
	else if (e->type == EVENT_INFO)
		buf_addf(out, STR_FMT "\n", STR_ARG(e->text));
}

void tty_event(struct display *d, const struct event *e)
{
	AUTO_BUF struct buf out = {0}, lines = {0};

	permanent(d, e, &lines);
	if (lines.len) {
		erase(d, &out);
		buf_addstr(&out, buf_str(&lines));
		draw(d, &out);
		flush_out(d, &out);
	}
	/* A build in which all is cached needs no thread to redraw it. */
	bool live = e->type == EVENT_STARTED || e->type == EVENT_PROGRESS;
	if (live && !d->ticking && !d->stop)
		d->ticking = !pthread_create(&d->ticker, NULL, tick, d);
}

void tty_end(struct display *d)
{
	AUTO_BUF struct buf out = {0};

	pthread_mutex_lock(&d->lock);
	d->stop = true;
	erase(d, &out);
	flush_out(d, &out);
	pthread_mutex_unlock(&d->lock);
	if (d->ticking)
		pthread_join(d->ticker, NULL);
	d->ticking = false;
}
