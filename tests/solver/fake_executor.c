/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_executor.h"

#include "base/clock.h"
#include "base/mem.h"

#include <poll.h>
#include <time.h>

/* The text of a layer is kept as a record, so that several processes see it. */
static struct err *add_layer(struct fake *f, const char *text, struct snapshot *out)
{
	struct layer l = {0};

	TRY(store_blob_put(f->store, text, str_c(text).len, &l.blob));
	l.diff_id = l.blob;
	l.blob_size = str_c(text).len;
	TRY(store_layer_add(f->store, &l));
	strvec_push(&out->layers, l.id);
	return NULL;
}

static struct err *read_text(struct fake *f, const struct snapshot *s, struct buf *out)
{
	for (size_t i = 0; s && i < s->layers.len; i++) {
		struct layer l = {0};
		bool found = false;
		TRY(store_layer_get(f->store, s->layers.ptr[i], &l, &found));
		if (!found)
			return err_new(ERR_NOT_FOUND, "layer %s", s->layers.ptr[i]);
		TRY(store_blob_read(f->store, &l.blob, 1 << 20, out));
	}
	return NULL;
}

static struct err *fake_pin(
	struct executor *ex, const struct node *n, const struct step_io *io, struct source_pin *out)
{
	struct fake *f = container_of(ex, struct fake, base);
	const struct op *op = node_op(n);
	const char *text = op->kind == OP_LOCAL ? f->local : op->image.ref;

	(void)io;
	if (op->kind == OP_IMAGE && cstr_eq(text, "gone"))
		return err_new(ERR_NOT_FOUND, "image gone");
	out->text = mem_strdup(text);
	digest_of(text, str_c(text).len, &out->digest);
	return NULL;
}

static struct err *fake_fetch(struct executor *ex, const struct node *n, const struct source_pin *pin,
	const struct step_io *io, struct snapshot *out)
{
	struct fake *f = container_of(ex, struct fake, base);

	(void)io;
	(void)n;
	pthread_mutex_lock(&f->lock);
	f->fetched++;
	pthread_mutex_unlock(&f->lock);
	return add_layer(f, pin->text, out);
}

static void enter(struct fake *f)
{
	pthread_mutex_lock(&f->lock);
	if (++f->at_once > f->most_at_once)
		f->most_at_once = f->at_once;
	pthread_mutex_unlock(&f->lock);
	if (f->delay) {
		struct timespec ts = {f->delay / CLOCK_SECOND, f->delay % CLOCK_SECOND};
		nanosleep(&ts, NULL);
	}
}

static void leave(struct fake *f, const char *what)
{
	pthread_mutex_lock(&f->lock);
	f->at_once--;
	strvec_push(&f->ran, what);
	pthread_mutex_unlock(&f->lock);
}

static struct err *run_exec(struct fake *f, const struct op_exec *x, const struct snapshot *in,
	const struct step_io *io, struct buf *text)
{
	if (cstr_eq(x->argv[0], "fail"))
		return err_with_exit_code(err_new(ERR_EXITED, "process \"fail\" ended"), 7);
	if (cstr_eq(x->argv[0], "sleep")) {
		struct pollfd p = {.fd = cancel_fd(io->cancel), .events = POLLIN};
		poll(&p, 1, 20000);
		return cancel_check(io->cancel);
	}
	if (cstr_eq(x->argv[0], "append"))
		TRY(read_text(f, in, text));
	buf_adds(text, x->argv[1]);
	return NULL;
}

static struct err *fake_run(struct executor *ex, const struct node *n, const struct snapshot *const *inputs,
	const struct step_io *io, struct snapshot *out)
{
	struct fake *f = container_of(ex, struct fake, base);
	const struct op *op = node_op(n);
	AUTO_BUF struct buf text = {0}, what = {0};
	struct err *e = NULL;

	enter(f);
	if (op->kind == OP_EXEC) {
		for (size_t i = 0; op->exec.argv[i]; i++)
			buf_addf(&what, "%s%s", i ? " " : "", op->exec.argv[i]);
		e = run_exec(f, &op->exec, inputs[0], io, &text);
	} else {
		buf_adds(&what, "copy");
		if (node_input_count(n) > 1 && !inputs[1])
			buf_adds(&text, f->local);
		else if (node_input_count(n) > 1)
			e = read_text(f, inputs[1], &text);
	}
	if (!e && inputs[0])
		snapshot_copy(inputs[0], out);
	if (!e)
		e = add_layer(f, buf_cstr(&text), out);
	leave(f, buf_cstr(&what));
	return e;
}

static struct err *fake_content(struct executor *ex, const struct node *n, size_t i,
	const struct snapshot *input, const struct step_io *io, struct digest *out)
{
	struct fake *f = container_of(ex, struct fake, base);
	AUTO_BUF struct buf text = {0};

	(void)io;
	if (node_input(n, i) && node_op(node_input(n, i))->kind == OP_LOCAL)
		buf_adds(&text, f->local);
	else
		TRY(read_text(f, input, &text));
	digest_of(buf_cstr(&text), text.len, out);
	return NULL;
}

static struct err *fake_check(struct executor *ex, const struct snapshot *s, bool *usable)
{
	struct fake *f = container_of(ex, struct fake, base);

	*usable = true;
	for (size_t i = 0; i < s->layers.len && *usable; i++) {
		struct layer l = {0};
		TRY(store_layer_get(f->store, s->layers.ptr[i], &l, usable));
	}
	return NULL;
}

static const struct executor_ops ops = {fake_pin, fake_fetch, fake_run, fake_content, fake_check};

void fake_init(struct fake *f, struct store *s)
{
	*f = (struct fake){.base = {&ops}, .store = s, .local = mem_strdup("local v1")};
	pthread_mutex_init(&f->lock, NULL);
}

void fake_fini(struct fake *f)
{
	strvec_fini(&f->ran);
	mem_freep(&f->local);
	pthread_mutex_destroy(&f->lock);
}

void fake_set_local(struct fake *f, const char *content)
{
	mem_freep(&f->local);
	f->local = mem_strdup(content);
}

unsigned fake_count(const struct fake *f, const char *what)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->ran.len; i++)
		n += cstr_eq(f->ran.ptr[i], what);
	return n;
}
