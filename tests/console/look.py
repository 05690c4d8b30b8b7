"""`python -m tests.console.look`: one look of the gate, as Celery's beat asks for it; prints the state it found."""

from tasks.evaluate import evaluate

if __name__ == "__main__":
    print(evaluate())
