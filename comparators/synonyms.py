"""Words of one meaning, and words of opposite meanings; a further word is a further entry here, and nothing else.

Two words are on one line only where a tenant would do the same whichever of them the assistant had used: a fee is no
rent, a child no baby, and who wants a thing does not have it. Words are written in any of their forms: they are brought
to their stem where a table is read.
"""

from typing import Final

from comparators.stems import stem

#: words of one meaning, the first names it
_SYNONYMS: Final = """
    book done reserve schedule reservation booking arrange arranged set confirm confirmed made make complete arrangement
    visit viewing tour appointment view showing
    cancel canceled cancelled
    move moved reschedule rescheduled relocate
    home apartment flat place house property unit
    rent price priced cost rental
    allow permitted permit accept welcome bring friendly
    furnish furniture
    available free
    found find see result
    match meet criteria fit within
    area city town live neighborhood neighbourhood district reside
    lift elevator
    washer
    suggest recommend try
    garden yard
    able could can possible
    budget spend maximum
    tell said mention know report inform notify
    give share hand
    reduce lower decrease
    rent-out let
    suit work
    sublet sublease
    smoke smoking
    receive got get obtain
    fix repair mend
    come arrive
    pay payment
    apply application
    enter entrance entry
    heat heater heating
    reply answer respond response
    guest visitor
    child children kid
    pet animal
    shop store
    sofa couch
    fridge refrigerator
    television tv
    trash garbage rubbish
    tub bathtub
    tap faucet
    roommate flatmate housemate
    basement cellar
    subway metro underground
    car vehicle
    buy purchase bought
    send submit forward
    continue
    fully completely entirely
    transfer transferable
    negotiate negotiable
    inspect inspection
    deliver delivery
    extend extension
    choose select
    holiday vacation
    help assist assistance
    immediately instantly promptly
    centre center
    colour color
    inquiry enquiry inquiries enquiries
    kilogram kg
    deposit
    want prefer look wish need search seek like
    charge fee surcharge penalty
    lease contract tenancy
    near nearby
    extra additional
    required requirement
    include contain provide supply
    leave vacate depart
    check verify
    renew renewal
    hard difficult tricky tough
    opposite across
    favorite favourite
    allergy allergic
    ready prepared
    picture photo photograph image
    quick fast rapid
    modern contemporary
    renovated refurbished remodeled remodelled
    clean tidy
    beautiful lovely attractive
    cozy cosy
    cheap affordable inexpensive
    expensive costly pricey
    correct accurate
    wrong incorrect mistaken
    problem issue trouble
    mistake error
    question query
    stairs steps staircase
    hall corridor hallway
    stove cooker
    bicycle bike cycle
    train rail railway
    supermarket grocery
    pharmacy drugstore chemist
    id identification
    mother mom mum
    father dad
    baby infant
    often frequently
    usually normally generally typically
    sometimes occasionally
    rarely seldom
    almost nearly
    exactly precisely
    separately individually
    use utilize utilise
    save record
    delete remove erase
    change alter modify
    explain describe
    plan intend
    expect anticipate
    seem appear
    refund reimburse repay
    bill invoice
    rule regulation
    closest nearest
    choice option
    wait await
    split divide
    attach enclose
    parcel package
    ill sick
    partly partially
    except excluding besides
    all every
    employer boss
    speak talk
    leak leaking leaky
"""
SYNONYMS: Final = {
    stem(word): stem(first)
    for first, *others in map(str.split, filter(str.strip, _SYNONYMS.splitlines()))
    for word in (first, *others)
}

#: words of opposite meanings: a concept, those that affirm it, those that deny it. One that denies turns what stands
#: before it in its clause (`<`, as "the flat is unfurnished" does), all of its clause (`!`, as "they forbid" does), or
#: nothing but itself
OPPOSITES: Final = """
    allow!: allow | prohibit prohibited forbidden forbid banned
    accept!: agree agreed approve approved | refuse refused reject rejected decline declined
    book!: book | cancel
    include!: include | exclude extra
    furnish<: furnish | unfurnished
    available<: available vacant | unavailable taken occupied
    able<: able possible | unable impossible
    refund<: refund refundable | nonrefundable
    valid<: valid | invalid
    safe<: safe | unsafe dangerous
    heated<: heated | unheated
    optional: optional | required mandatory obligatory compulsory
    liked: liked | disliked
    before: before until | after from
    over: over above | below under
    most: maximum | minimum
    rise: increase raise rose rise | reduce drop fell decrease
    size: large big spacious roomy huge | small tiny little
    quiet: quiet calm peaceful silent | noisy noise loud
    open<: open | closed shut
    cheaper: cheaper cheapest | dearer dearest expensive
    stairs: upstairs | downstairs
    always: always | never
    start: start begin beginning began commence | end expire finish
    early: early earlier | late later
    new: new | old
    near: near | far
    light: bright light sunny | dark
    left: left | right
    easy: easy simple | hard
    favorite: favorite | least
    entrance: enter | exit
    correct: correct | wrong
    clean: clean | dirty
    true: true | false
    with: with | without
"""

RELATIONS: Final = frozenset({"before", "over", "cheaper"})  # turned around, they say the same of those swapped
