/* SPDX-License-Identifier: Apache-2.0 */
/* Two threads a connection, one a direction: neither waits for the other's peer. */
#include "dagger/relay.h"

#include "base/mem.h"
#include "base/vec.h"
#include "sys/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct relay {
	int listening;
	char *host;
	char port[8];
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t ended;
	struct vec open; /* of struct connection * */
	bool stopping;
};

struct connection {
	struct relay *relay;
	int ends[2];
	int pumps; /* that still run; the last one closes it; under the relay's lock */
};
struct pump {
	struct connection *connection;
	int from; /* 0 or 1 */
};

static void drop(struct connection *c)
{
	struct relay *r = c->relay;

	pthread_mutex_lock(&r->lock);
	bool last = --c->pumps == 0;
	for (size_t i = r->open.len; last && i-- > 0;)
		if (*(struct connection **)vec_at(&r->open, i) == c)
			vec_remove(&r->open, i);
	if (last) {
		close(c->ends[0]);
		close(c->ends[1]);
		mem_freep(&c);
		pthread_cond_broadcast(&r->ended);
	}
	pthread_mutex_unlock(&r->lock);
}

static void *pump(void *arg)
{
	struct pump *p = arg;
	struct connection *c = p->connection;
	int from = c->ends[p->from], to = c->ends[!p->from];
	char bytes[16384];
	bool open = true;

	mem_freep(&p);
	while (open) {
		ssize_t got = recv(from, bytes, sizeof(bytes), 0);
		open = got > 0 || (got < 0 && errno == EINTR);
		for (ssize_t done = 0; open && done < got;) {
			ssize_t n = send(to, bytes + done, (size_t)(got - done), MSG_NOSIGNAL);
			open = n >= 0 || errno == EINTR;
			done += n > 0 ? n : 0;
		}
	}
	shutdown(to, SHUT_WR);
	shutdown(from, SHUT_RD);
	drop(c);
	return NULL;
}

static bool start_pump(struct connection *c, int from)
{
	struct pump *p = mem_new(struct pump);
	pthread_t thread;

	*p = (struct pump){c, from};
	if (pthread_create(&thread, NULL, pump, p) == 0)
		return pthread_detach(thread) == 0;
	mem_freep(&p);
	shutdown(c->ends[0], SHUT_RDWR);
	shutdown(c->ends[1], SHUT_RDWR);
	drop(c);
	return false;
}

/* -1: nobody answers there. */
static int reach(const struct relay *r)
{
	const struct addrinfo want = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	int fd = -1;

	if (getaddrinfo(r->host, r->port, &want, &found))
		return -1;
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0)
			fd_closep(&fd);
	}
	freeaddrinfo(found);
	return fd;
}

static void serve(struct relay *r, int client)
{
	int server = reach(r);
	if (server < 0) {
		close(client);
		return;
	}
	struct connection *c = mem_new(struct connection);
	*c = (struct connection){r, {client, server}, 2};
	pthread_mutex_lock(&r->lock);
	vec_push_copy(&r->open, &c);
	pthread_mutex_unlock(&r->lock);
	/* The first may have ended by the time the second starts: each counts as running until it does. */
	start_pump(c, 0);
	start_pump(c, 1);
}

static bool stopping(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	bool is = r->stopping;
	pthread_mutex_unlock(&r->lock);
	return is;
}

static void *accept_all(void *arg)
{
	struct relay *r = arg;

	while (!stopping(r)) {
		int client = accept4(r->listening, NULL, NULL, SOCK_CLOEXEC);
		if (client >= 0)
			serve(r, client);
		else if (errno == EMFILE || errno == ENFILE)
			usleep(10000);
	}
	return NULL;
}

struct err *relay_start(int from, const char *host, int port, struct relay **out)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)from)};
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, SOMAXCONN) < 0)
		return err_sys(errno, "listening on port %d of this machine", from);
	struct relay *r = mem_new(struct relay);
	r->host = mem_strdup(host);
	snprintf(r->port, sizeof(r->port), "%d", port);
	r->open = VEC_OF(struct connection *);
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->ended, NULL);
	r->listening = steal_fd(&fd);
	if (pthread_create(&r->thread, NULL, accept_all, r) == 0) {
		*out = r;
		return NULL;
	}
	r->thread = pthread_self();
	relay_stop(r);
	return err_new(ERR_UNAVAILABLE, "no thread for port %d", from);
}

void relay_stop(struct relay *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	r->stopping = true;
	pthread_mutex_unlock(&r->lock);
	/* Wakes who waits in accept. */
	shutdown(r->listening, SHUT_RDWR);
	if (!pthread_equal(r->thread, pthread_self()))
		pthread_join(r->thread, NULL);
	pthread_mutex_lock(&r->lock);
	for (size_t i = 0; i < r->open.len; i++) {
		const struct connection *c = *(struct connection **)vec_at(&r->open, i);
		shutdown(c->ends[0], SHUT_RDWR);
		shutdown(c->ends[1], SHUT_RDWR);
	}
	while (r->open.len)
		pthread_cond_wait(&r->ended, &r->lock);
	pthread_mutex_unlock(&r->lock);
	close(r->listening);
	vec_fini(&r->open);
	pthread_cond_destroy(&r->ended);
	pthread_mutex_destroy(&r->lock);
	mem_freep(&r->host);
	mem_freep(&r);
}
