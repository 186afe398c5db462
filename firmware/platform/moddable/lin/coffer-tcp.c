// SPDX-License-Identifier: MIT
/*
 * TCP for Linux on GLib's main loop, in place of the SDK's, which looks every 20 ms at 1536 bytes and loses what a
 * short write leaves over. Same shape: counts go to onReadable and onWritable, the data is fetched. What was reported and
 * not fetched is not reported again.
 */
#include "xsmc.h"
#include "mc.xs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kCapacity = 65536 };

typedef struct {
	xsMachine *the;
	xsSlot self;
	int fd;
	guint in, out;
	uint32_t reported;		/* bytes that onReadable told of and read did not fetch */
	uint32_t room;			/* what write takes until the next onWritable */
	uint32_t used, sent;	/* of the bytes that wait in `pending` */
	uint8_t isConnected, isClosed;
	int error;				/* of connect */
	int depth;				/* callbacks that are running: the record lives until they return */
	uint8_t pending[kCapacity];
} CofferTcpRecord, *CofferTcp;

void xs_coffer_tcp_destructor(void *data);
static gboolean onInput(gint fd, GIOCondition condition, gpointer data);
static gboolean onOutput(gint fd, GIOCondition condition, gpointer data);

static void stopSource(guint *source)
{
	if (*source)
		g_source_remove(*source);
	*source = 0;
}

static void release(CofferTcp tcp)
{
	stopSource(&tcp->in);
	stopSource(&tcp->out);
	if (tcp->fd >= 0)
		close(tcp->fd);
	tcp->fd = -1;
	tcp->isClosed = 1;
	if (tcp->depth == 0)
		free(tcp);
}

void xs_coffer_tcp_destructor(void *data)
{
	if (data)
		release(data);
}

static CofferTcp toTcp(xsMachine *the)
{
	CofferTcp tcp = xsmcGetHostData(xsThis);
	if (!tcp)
		xsUnknownError("socket is closed");
	return tcp;
}

static void watchInput(CofferTcp tcp)
{
	if (!tcp->in)
		tcp->in = g_unix_fd_add(tcp->fd, G_IO_IN | G_IO_HUP | G_IO_ERR, onInput, tcp);
}

static void watchOutput(CofferTcp tcp)
{
	if (!tcp->out)
		tcp->out = g_unix_fd_add(tcp->fd, G_IO_OUT | G_IO_HUP | G_IO_ERR, onOutput, tcp);
}

/* (address, port) */
void xs_coffer_tcp_connect(xsMachine *the)
{
	char text[32];
	struct sockaddr_in address = { 0 };
	int port, fd, one = 1, error = 0;
	CofferTcp tcp;

	xsmcToStringBuffer(xsArg(0), text, sizeof(text));
	port = xsmcToInteger(xsArg(1));
	if ((port < 1) || (port > 65535))
		xsRangeError("port: expected 1..65535");
	address.sin_family = AF_INET;
	address.sin_port = htons((uint16_t)port);
	if (!inet_aton(text, &address.sin_addr))
		xsRangeError("address: expected an IPv4 address");
	if (xsmcGetHostData(xsThis))
		xsUnknownError("socket is open");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		xsUnknownError("no socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* An error at once is told as a later one is. */
	if ((connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) && (errno != EINPROGRESS))
		error = errno;
	tcp = calloc(1, sizeof(CofferTcpRecord));
	if (!tcp) {
		close(fd);
		xsUnknownError("no memory");
	}
	tcp->the = the;
	tcp->fd = fd;
	tcp->error = error;
	tcp->self = xsThis;
	xsRemember(tcp->self);
	xsmcSetHostData(xsThis, tcp);
	watchOutput(tcp);
}

void xs_coffer_tcp_close(xsMachine *the)
{
	CofferTcp tcp = xsmcGetHostData(xsThis);
	if (!tcp)
		return;
	xsForget(tcp->self);
	xsmcSetHostData(xsThis, NULL);
	release(tcp);
}

/* (into): all of it, at most what was reported */
void xs_coffer_tcp_read(xsMachine *the)
{
	CofferTcp tcp = toTcp(the);
	xsUnsignedValue length, done = 0;
	uint8_t *into;
	xsmcGetBufferWritable(xsArg(0), (void **)&into, &length);
	if (length > tcp->reported)
		xsRangeError("into: longer than what can be read");
	while (done < length) {
		ssize_t count = recv(tcp->fd, into + done, length - done, 0);
		if (count > 0)
			done += (xsUnsignedValue)count;
		else if ((count == 0) || (errno != EINTR))
			xsUnknownError("read failed");
	}
	tcp->reported -= length;
	if (tcp->reported == 0)
		watchInput(tcp);
	xsmcSetInteger(xsResult, (xsIntegerValue)length);
}

/* (bytes) -> room that is left */
void xs_coffer_tcp_write(xsMachine *the)
{
	CofferTcp tcp = toTcp(the);
	xsUnsignedValue length, done = 0;
	uint8_t *bytes;
	xsmcGetBufferReadable(xsArg(0), (void **)&bytes, &length);
	if (length > tcp->room)
		xsRangeError("bytes: longer than there is room");
	if (tcp->used == 0) {
		ssize_t count = send(tcp->fd, bytes, length, MSG_NOSIGNAL);
		if (count > 0)
			done = (xsUnsignedValue)count;		/* an error shows again when the socket is looked at next */
	}
	memcpy(tcp->pending + tcp->used, bytes + done, length - done);
	tcp->used += length - done;
	tcp->room -= length;
	watchOutput(tcp);
	xsmcSetInteger(xsResult, (xsIntegerValue)tcp->room);
}

static void report(CofferTcp tcp, xsIndex callback, uint32_t count)
{
	xsMachine *the = tcp->the;
	if (tcp->isClosed)
		return;
	tcp->depth++;
	xsBeginHost(the);
	xsmcVars(1);
	xsmcSetInteger(xsVar(0), (xsIntegerValue)count);
	xsCall1(tcp->self, callback, xsVar(0));
	xsEndHost(the);
	tcp->depth--;
	if (tcp->isClosed && (tcp->depth == 0))
		free(tcp);
}

static gboolean onInput(gint fd, GIOCondition condition, gpointer data)
{
	CofferTcp tcp = data;
	int available = 0;
	uint8_t byte;
	ssize_t count;
	(void)condition;

	count = recv(fd, &byte, 1, MSG_PEEK);
	if ((count < 0) && ((errno == EAGAIN) || (errno == EINTR)))
		return G_SOURCE_CONTINUE;
	tcp->in = 0;
	if ((count <= 0) || (ioctl(fd, FIONREAD, &available) < 0) || (available <= 0))
		report(tcp, xsID_onError, 0);
	else {
		tcp->reported = (available > kCapacity) ? kCapacity : (uint32_t)available;
		report(tcp, xsID_onReadable, tcp->reported);
	}
	return G_SOURCE_REMOVE;
}

static gboolean onOutput(gint fd, GIOCondition condition, gpointer data)
{
	CofferTcp tcp = data;
	(void)condition;

	if (!tcp->isConnected) {
		int error = tcp->error;
		socklen_t length = sizeof(error);
		if (error || (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) || error) {
			tcp->out = 0;
			report(tcp, xsID_onError, 0);
			return G_SOURCE_REMOVE;
		}
		tcp->isConnected = 1;
		watchInput(tcp);
	}
	while (tcp->sent < tcp->used) {
		ssize_t count = send(fd, tcp->pending + tcp->sent, tcp->used - tcp->sent, MSG_NOSIGNAL);
		if (count > 0)
			tcp->sent += (uint32_t)count;
		else if (errno == EAGAIN)
			return G_SOURCE_CONTINUE;
		else if (errno != EINTR) {
			tcp->out = 0;
			/* What the other side still sent is read first; that side of the socket tells of the end, too. */
			watchInput(tcp);
			return G_SOURCE_REMOVE;
		}
	}
	tcp->sent = tcp->used = 0;
	tcp->room = kCapacity;
	tcp->out = 0;
	report(tcp, xsID_onWritable, tcp->room);
	return G_SOURCE_REMOVE;
}
