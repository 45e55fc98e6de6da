"""Places for what is under way: bounded, in order, none lost to a cancellation."""

import asyncio

from edge_agent.slots import Slots


async def test_places_go_in_the_order_in_which_they_were_asked_for() -> None:
    slots, order = Slots(2), list[int]()

    async def come(number: int) -> None:
        await slots.take()
        order.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(come(number))
        await asyncio.sleep(0)
        assert (order, slots.full) == ([0, 1], True)
        for _ in range(3):
            slots.give_back()
            await asyncio.sleep(0)
    assert order == [0, 1, 2, 3, 4]
    slots.give_back()
    assert not slots.full


async def test_a_place_that_comes_as_its_waiter_is_cancelled_is_not_lost() -> None:
    slots = Slots(1)
    await slots.take()
    waiting = [asyncio.create_task(slots.take()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    slots.give_back()  # to the second: the first gave up
    waiting[1].cancel()  # and this one goes with the place in its hand
    await asyncio.wait(waiting, timeout=1)
    assert waiting[0].cancelled()
    assert waiting[1].cancelled()
    assert waiting[2].done()
    assert not waiting[2].cancelled()
    assert slots.full
