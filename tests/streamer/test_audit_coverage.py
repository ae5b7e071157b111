"""What counts as a broken claim of coverage."""

from __future__ import annotations

from streamer.audit.coverage import Score, bare_rate, broken_claims, judged


def test_uncovered_faces_and_shared_tracks_break_the_claim() -> None:
    fine = Score("scene walk 0", faces=1000, bare=9)
    assert broken_claims([fine], 10.0) == []
    assert len(broken_claims([fine, Score("scene crowd 0", faces=1000, bare=20)], 10.0)) == 1
    assert len(broken_claims([fine, Score("scene crossing 0", faces=1000, shared=1)], 10.0)) == 1


def test_faces_too_small_to_be_seen_are_shown_but_not_judged() -> None:
    scores = [Score("scene walk 0", faces=500), Score("scene small 0", faces=900, bare=300)]
    assert [score.name for score in judged(scores)] == ["scene walk 0"]
    assert broken_claims(scores, 10.0) == []
    # None among 500: the exact upper end is about 3.7 / 500.
    assert 0.007 < bare_rate(judged(scores)).high < 0.008
