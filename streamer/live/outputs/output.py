"""One place that packets go to, with a connection of its own that may fail without harm to any other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from streamer.live.backoff import Backoff
from streamer.live.link import link_reason
from streamer.live.mailbox import Mailbox
from streamer.live.outputs.muxer import Muxer
from streamer.live.outputs.packets import EncodedPacket, StreamHead
from streamer.live.telemetry import CameraTelemetry
from streamer.live.threads import start_thread

_log = logging.getLogger(__name__)

QUEUE_PACKETS = 150
# A write that takes longer is taken for dead: FFmpeg's RTSP muxer waits without end for a server that is frozen.
STUCK_SECONDS = 8.0
# Connections given up that still hang in the system; no more are made while so many do.
MOST_LEFT_BEHIND = 2


class PacketOutput:
    """Hands packets to a muxer in a thread of its own; opens a new one after a failure, with back-off.

    `put` is called by the encoder's thread alone and never waits.

    Args:
        camera, name: for the log; `name` without credentials.
        make_muxer: for each new connection.
        ask_for_key: called when a connection could begin but for a key frame.
        measures_delay: this output tells the telemetry how late its packets are.
    """

    def __init__(
        self,
        camera: str,
        name: str,
        make_muxer: Callable[[], Muxer],
        telemetry: CameraTelemetry,
        ask_for_key: Callable[[], None],
        *,
        measures_delay: bool = False,
        backoff: Backoff | None = None,
    ) -> None:
        self._camera = camera
        self._name = name
        self._make_muxer = make_muxer
        self._telemetry = telemetry
        self._ask_for_key = ask_for_key
        self._measures_delay = measures_delay
        self._backoff = backoff or Backoff()
        self._session: _Session | None = None
        self._left_behind: list[_Session] = []
        self._retry_at = 0.0
        self._failures = 0

    def put(self, packet: EncodedPacket) -> None:
        """Take a packet: to the open connection, or let go while there is none."""
        now = time.monotonic()
        session = self._session
        if session is not None:
            problem = session.problem(now)
            if problem is not None:
                self._give_up(session, problem, now)
            elif session.head is not packet.head:
                # Another encoder: its parameters go into a new header.
                session.packets.finish()
                self._left_behind.append(session)
                self._session = None
        if self._session is None:
            self._session = self._begin(packet, now)
        if self._session is None:
            self._telemetry.frame_dropped("output_away")
        else:
            self._session.packets.put(packet)

    def finish(self, deadline: float) -> None:
        """Write what waits and complete the connection; until the monotonic `deadline` at most."""
        sessions = [session for session in (*self._left_behind, self._session) if session is not None]
        for session in sessions:
            session.packets.finish()
        for session in sessions:
            # Those that hang were given up for good.
            if not session.is_abandoned:
                session.thread.join(max(0.0, deadline - time.monotonic()))

    def _begin(self, packet: EncodedPacket, now: float) -> _Session | None:
        self._left_behind = [session for session in self._left_behind if session.thread.is_alive()]
        if now < self._retry_at or len(self._left_behind) >= MOST_LEFT_BEHIND:
            return None
        if not packet.is_key:
            self._ask_for_key()
            return None
        return _Session(
            f"{self._camera}-output", self._make_muxer(), packet.head, self._opened, self._sent, self._lost
        )

    def _give_up(self, session: _Session, problem: str, now: float) -> None:
        session.abandon()
        self._left_behind.append(session)
        self._session = None
        seconds = self._backoff.next_seconds()
        self._retry_at = now + seconds
        self._failures += 1
        # One line when it is lost, and one in ten while it stays away.
        if self._failures % 10 == 1:
            _log.warning("camera %s: output %s is away (%s)", self._camera, self._name, problem)

    def _opened(self) -> None:
        self._failures = 0
        _log.info("camera %s: output %s is open", self._camera, self._name)

    def _sent(self, packet: EncodedPacket, seconds: float) -> None:
        self._backoff.frame()
        self._telemetry.stage_seconds("mux", seconds)
        if self._measures_delay and packet.arrived_seconds is not None:
            self._telemetry.delay(time.monotonic() - packet.arrived_seconds)

    def _lost(self) -> None:
        self._telemetry.frame_dropped("output_queue_full")


class _Session:
    """One connection: a muxer, its thread and the packets that wait for it."""

    def __init__(
        self,
        name: str,
        muxer: Muxer,
        head: StreamHead,
        opened: Callable[[], None],
        sent: Callable[[EncodedPacket, float], None],
        lost: Callable[[], None],
    ) -> None:
        self.head = head
        self.packets: Mailbox[EncodedPacket] = Mailbox(QUEUE_PACKETS, self._dropped)
        self._muxer = muxer
        self._opened = opened
        self._sent = sent
        self._lost = lost
        self._gap = threading.Event()
        self._abandoned = threading.Event()
        self._busy_since: float | None = time.monotonic()
        self._failure: str | None = None
        self.thread = start_thread(name, self._run)

    def problem(self, now: float) -> str | None:
        """Why this connection is of no use any more, or None."""
        if self._failure is not None:
            return self._failure
        busy_since = self._busy_since
        if busy_since is not None and now - busy_since > STUCK_SECONDS:
            return f"no answer for {STUCK_SECONDS:g} s"
        return None if self.thread.is_alive() else "its thread has ended"

    @property
    def is_abandoned(self) -> bool:
        return self._abandoned.is_set()

    def abandon(self) -> None:
        """Let it end by itself, whenever the call it hangs in comes back."""
        self._abandoned.set()
        self.packets.finish()
        self.packets.keep_newest(0)

    def _run(self) -> None:
        try:
            self._muxer.open(self.head)
            self._opened()
            self._busy_since = None
            self._write_all()
        except Exception as error:
            self._failure = link_reason(error)
        finally:
            self._close()

    def _write_all(self) -> None:
        while not self.packets.is_done and not self._abandoned.is_set():
            packet = self.packets.get(None)
            if packet is None:
                continue
            if self._gap.is_set():
                # Without the packets that were let go, the ones up to the next key frame cannot be decoded.
                if not packet.is_key:
                    self._lost()
                    continue
                self._gap.clear()
            began = self._busy_since = time.monotonic()
            self._muxer.write(packet)
            self._busy_since = None
            self._sent(packet, time.monotonic() - began)

    def _close(self) -> None:
        self._busy_since = time.monotonic()
        try:
            self._muxer.close()
        except Exception as error:
            self._failure = self._failure or link_reason(error)
        self._busy_since = None

    def _dropped(self, packet: EncodedPacket) -> None:
        self._gap.set()
        self._lost()
