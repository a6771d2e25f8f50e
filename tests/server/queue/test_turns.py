"""Who shares cores gets as much of their time as the others who have something to do."""

from server.queue.turns import Turns


def rounds(turns: Turns[str], waiting: dict[str, float], count: int) -> list[str]:
    """Who is served, where each always waits and takes so many seconds."""
    served = []
    for _ in range(count):
        who = turns.in_order(waiting)[0]
        turns.takes(who, waiting[who])
        served.append(who)
    return served


def test_turns_are_equal_in_time_not_in_number() -> None:
    turns: Turns[str] = Turns()
    for who in ("quick", "slow"):
        turns.begins_to_wait(who)
    served = rounds(turns, {"quick": 1.0, "slow": 3.0}, 80)
    assert (served.count("quick"), served.count("slow")) == (60, 20)


def test_time_that_was_not_used_is_not_saved_up() -> None:
    turns: Turns[str] = Turns()
    turns.begins_to_wait("busy")
    rounds(turns, {"busy": 1.0}, 100)
    turns.begins_to_wait("late")
    served = rounds(turns, {"busy": 1.0, "late": 1.0}, 20)
    assert served[0] == "late"
    assert served.count("late") in (10, 11)


def test_what_a_turn_took_counts_not_what_was_expected() -> None:
    turns: Turns[str] = Turns()
    for who in ("honest", "sly"):
        turns.begins_to_wait(who)
    taken = {"honest": 0.0, "sly": 0.0}
    for _ in range(100):
        who = turns.in_order(taken)[0]
        turns.takes(who, 1.0)
        seconds = 1.0 if who == "honest" else 4.0
        turns.took(who, 1.0, seconds)
        taken[who] += seconds
    assert abs(taken["honest"] - taken["sly"]) <= 4


def test_who_leaves_is_forgotten() -> None:
    turns: Turns[str] = Turns()
    turns.begins_to_wait("gone")
    turns.takes("gone", 5.0)
    turns.leaves("gone")
    turns.took("gone", 5.0, 6.0)
    assert turns.in_order(["gone", "other"])[0] == "gone", "as if it had never been there"
